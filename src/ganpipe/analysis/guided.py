"""What the discriminator's last convolution looks at (paper, section 6.2), by guided backpropagation.

From a feature back to the image, as gradients go, but through each leaky ReLU only what was let through and speaks for
the feature (Springenberg et al. 2014).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganpipe.models.dcgan import LEAK, Discriminator
from ganpipe.models.pixels import to_network

BATCH = 250


class _Guided(torch.autograd.Function):
    """Leaky ReLU; backwards, only what was positive on the way there and is on the way back."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return F.leaky_relu(x, LEAK)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        return gradient * (gradient > 0) * (x > 0)


@torch.no_grad()
def strongest(
    discriminator: Discriminator, pixels: np.ndarray, filters: int, shown: int, device: torch.device
) -> np.ndarray:
    """The `shown` images that excite each of the last convolution's first `filters` most: indices (filters, shown)."""
    found = []
    for start in range(0, len(pixels), BATCH):
        images = to_network(torch.from_numpy(pixels[start : start + BATCH]).to(device))
        found.append(discriminator.activations(images)[-1][:, :filters].amax((2, 3)).float().cpu())
    order: np.ndarray = torch.cat(found).topk(min(shown, len(pixels)), dim=0).indices.T.numpy()
    return order


def guided(discriminator: Discriminator, pixels: np.ndarray, filter_: int, device: torch.device) -> np.ndarray:
    """What in images, uint8 (n, H, W, 3), excites a filter of the last convolution at its strongest place.

    Each is brought to uint8 (n, H, W, 3): grey is 0, and the largest value of an image black or white.
    """
    images = to_network(torch.from_numpy(pixels).to(device)).requires_grad_()
    x: Tensor = images
    for conv, norm in zip(discriminator.convs, discriminator.norms, strict=True):
        x = _Guided.apply(norm(conv(x)))  # type: ignore[no-untyped-call]
    (gradient,) = torch.autograd.grad(x[:, filter_].amax((1, 2)).sum(), images)
    most = gradient.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
    levels = (gradient / most * 127.5 + 127.5).round().clamp(0, 255)
    shown: np.ndarray = levels.byte().permute(0, 2, 3, 1).cpu().numpy()
    return shown
