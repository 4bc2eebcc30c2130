"""Between images as they are held, uint8 NHWC, and as networks take them, float NCHW in [-1, 1].

A pair of images is held as one of six channels, A's before B's.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ganpipe.models.dcgan import Discriminator
from ganpipe.models.norm import freeze_statistics
from ganpipe.progress import Progress
from ganpipe.runtime import world

STATISTICS_BATCH = 128  # the authors': each minibatch of 128 gives one mean and one variance


def to_network(pixels: Tensor) -> Tensor:
    """Pixels uint8 (n, H, W, C) to float32 (n, C, H, W) in [-1, 1], channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def from_network(images: Tensor) -> np.ndarray:
    """Float (n, C, H, W) in [-1, 1] to uint8 (n, H, W, C)."""
    levels = (images.detach().float() + 1) * 127.5
    pixels: np.ndarray = levels.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def in_colour(pixels: np.ndarray) -> np.ndarray:
    """uint8 (n, H, W, 1 or 3) as (n, H, W, 3)."""
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:3], 3)))


def pair(images: Tensor, direction: str) -> tuple[Tensor, Tensor]:
    """Of images (n, 6, H, W) what is given and what is wanted, each (n, 3, H, W): `AtoB` or `BtoA`."""
    first, second = images[:, :3], images[:, 3:]
    return (first, second) if direction == "AtoB" else (second, first)


def minibatches(count: int, size: int = STATISTICS_BATCH) -> Iterator[np.ndarray]:
    """Consecutive indices, `size` at a time; the last may be fewer, as in the authors' code."""
    for start in range(0, count, size):
        yield np.arange(start, min(count, start + size))


def freeze_on(
    discriminator: Discriminator, count: int, read: Callable[[np.ndarray], np.ndarray], device: torch.device
) -> None:
    """Freeze the batch-norm statistics as averages over the minibatches of a corpus of `count` images.

    `read` takes indices to uint8 (n, H, W, 3).
    """
    with Progress("averaging batch statistics", count, "images", silent=world()[0] > 0) as progress:

        def batches() -> Iterator[Tensor]:
            for batch in minibatches(count):
                yield to_network(torch.from_numpy(read(batch)).to(device))
                progress.advance(len(batch))

        freeze_statistics(discriminator, batches())
