"""Walks through z's space (paper, section 6.1): a sharp turn between two pictures would mean that some are copies."""

import numpy as np
import torch
from torch import Tensor


def between(one: Tensor, other: Tensor, count: int, path: str) -> Tensor:
    """`count` points from each row of `one` to that of `other`, both (n, latent): (n, count, latent), ends included.

    `linear` is straight; `slerp` turns at a constant rate from one direction to the other, the length going over evenly
    (Shoemake 1985), so that normal noise keeps a length that the generator knows.
    """
    share = torch.linspace(0, 1, count, dtype=torch.float64)[None, :, None]
    start, end = one.double()[:, None], other.double()[:, None]
    straight = (1 - share) * start + share * end
    if path == "linear":
        return straight.float()
    lengths = start.norm(dim=2, keepdim=True), end.norm(dim=2, keepdim=True)
    ends = start / lengths[0].clamp_min(1e-30), end / lengths[1].clamp_min(1e-30)
    angle = (ends[0] * ends[1]).sum(2, keepdim=True).clamp(-1, 1).acos()
    turned = (torch.sin((1 - share) * angle) * ends[0] + torch.sin(share * angle) * ends[1]) / angle.sin()
    length = (1 - share) * lengths[0] + share * lengths[1]
    # Directions that are the same, or opposite, have no great circle of their own.
    return torch.where(angle.sin().abs() < 1e-6, straight, length * turned).float()


def largest_step(images: np.ndarray) -> float:
    """Of walks, uint8 (n, stops, H, W, 3): the largest step of one, in mean steps of its own; the mean over the walks.

    A step is the mean difference of two pictures' levels. Even walks give 1; one that jumps once gives stops - 1.
    """
    steps = np.abs(np.diff(images.astype(np.float32), axis=1)).mean((2, 3, 4))
    return float((steps.max(1) / np.maximum(steps.mean(1), 1e-12)).mean())
