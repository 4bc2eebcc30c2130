"""How alike two images are, pixel by pixel or by their structure."""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5  # pixels of SSIM's Gaussian window (Wang et al. 2004, section III.C)
K1, K2 = 0.01, 0.03


def l1(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference of each pair, as a share of the range: images (N, C, H, W) in [-1, 1] to (N,)."""
    return (one - other).abs().mean((1, 2, 3)) / 2


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004, equation 13), the mean over places and channels, (N,): 1 if equal."""
    x, y = (one.double() + 1) / 2, (other.double() + 1) / 2
    window = _window(x)
    mean_x, mean_y = _blurred(x, window), _blurred(y, window)
    var_x = _blurred(x * x, window) - mean_x**2
    var_y = _blurred(y * y, window) - mean_y**2
    covariance = _blurred(x * y, window) - mean_x * mean_y
    c1, c2 = K1**2, K2**2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    places = similar / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return places.mean((1, 2, 3)).float()


def _window(x: Tensor) -> Tensor:
    offsets = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - (WINDOW - 1) / 2
    line = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    return line / line.sum()


def _blurred(x: Tensor, line: Tensor) -> Tensor:
    """By the window, separably; only places that it lies wholly within the image."""
    channels = x.shape[1]
    down = F.conv2d(x, line.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(down, line.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
