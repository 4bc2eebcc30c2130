"""DiffAugment (Zhao et al. 2020): the same differentiable distortions for all that the discriminator sees.

Every random number comes in as a tensor, so that a step is a pure function that can be captured and repeated.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

DRAWS = 7  # uniform numbers that one image takes: 3 for colour, 2 for translation, 2 for cutout
SHIFT, HOLE = 1 / 8, 1 / 2  # of the image's side, as in the paper's code


def augment(images: Tensor, draws: Tensor) -> Tensor:
    """Colour, translation, cutout, in the paper's order. `images` (N, C, H, W), `draws` (N, 7) uniform in (0, 1)."""
    images = images.float()  # generated images may come in bf16: both kinds are distorted in the same precision
    return cutout(translate(colour(images, draws[:, :3]), draws[:, 3:5]), draws[:, 5:7])


def colour(images: Tensor, draws: Tensor) -> Tensor:
    """Brightness +-0.5, then saturation times 0 to 2, then contrast times 0.5 to 1.5, each by one of `draws` (N, 3)."""
    brightness, saturation, contrast = (column.view(-1, 1, 1, 1) for column in draws.unbind(1))
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (saturation * 2)
    level = images.mean((1, 2, 3), keepdim=True)
    return level + (images - level) * (contrast + 0.5)


def translate(images: Tensor, draws: Tensor) -> Tensor:
    """Move by up to an eighth of the side in each direction; what comes in is 0, grey. `draws` (N, 2)."""
    side = images.shape[2]
    reach = int(side * SHIFT + 0.5)
    rows, columns = (_offsets(column, 2 * reach + 1) for column in draws.unbind(1))  # 0 to 2 * reach
    padded = F.pad(images, (reach, reach, reach, reach))
    places = torch.arange(side, device=images.device)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    # Indexing brings (N, H, W, C), which is channels last.
    moved = padded.permute(0, 2, 3, 1)[batch, (places + rows)[:, :, None], (places + columns)[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def cutout(images: Tensor, draws: Tensor) -> Tensor:
    """Set a square of half the side to 0, anywhere, also partly outside. `draws` (N, 2)."""
    side = images.shape[2]
    hole = int(side * HOLE + 0.5)
    rows, columns = (_offsets(column, side + 1) - hole // 2 for column in draws.unbind(1))
    places = torch.arange(side, device=images.device)
    inside = [(places >= start) & (places < start + hole) for start in (rows, columns)]
    return images * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


def _offsets(draws: Tensor, count: int) -> Tensor:
    """Each of (N,) uniform draws as a whole number from 0 to `count` - 1, int64 (N, 1)."""
    return (draws.float() * count).long().clamp_(max=count - 1)[:, None]


def rotated(images: Tensor, turns: Tensor) -> Tensor:
    """Each of `images` (N, C, S, S) turned by so many quarters, int64 (N,)."""
    every = torch.stack([torch.rot90(images, quarter, (2, 3)) for quarter in range(4)])
    return every[turns, torch.arange(len(images), device=images.device)]
