"""Whether a GAN has memorised: how near its samples lie to training images, beside images that it never saw.

Nearest neighbours by pixels are trivially fooled, as the DCGAN authors say: a shift by a pixel is enough. Here they are
found in the discriminator's features, each max-pooled to 4x4, so that small shifts hardly count, and each divided by
its standard deviation over the training images.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganpipe import files
from ganpipe.evaluation.features import Levers, extract, scale
from ganpipe.models.dcgan import Discriminator

ROWS = 4096  # of the training images' features, compared at a time
SQUARED = 256  # of the samples' features, squared at a time: glibc does not use a large freed copy of them again
DRAWS = 1000  # of the bootstrap


class Nearest(NamedTuple):
    """Of each sample the nearest training image, int64 (n,), and its distance, float32 (n,)."""

    row: np.ndarray
    distance: np.ndarray


class Near(NamedTuple):
    """Of the images of a set the nearest training images, and the nearest of those held out."""

    training: Nearest
    held_out: Nearest | None

    def share_of_training(self) -> tuple[float, int]:
        """How often the nearest image of all is a training image, and how many different images that nearest one is.

        Samples that are all alike have one and the same nearest image, and speak for one image only.
        """
        assert self.held_out is not None  # noqa: S101 (who asks has such images)
        nearer = self.training.distance < self.held_out.distance
        which = np.where(nearer, self.training.row, -1 - self.held_out.row)
        return float(nearer.mean()), len(np.unique(which))


def nearest_images(
    discriminator: Discriminator,
    training: np.ndarray,
    held_out: np.ndarray | None,
    others: Iterable[tuple[str, np.ndarray]],
    device: torch.device,
) -> tuple[Nearest | None, dict[str, Near]]:
    """The nearest of the `training` images to those held out, and to the others, by name; all uint8 (N, H, W, 3).

    `others` are taken one after another, and their features kept in a file until all can be scaled: there may be many.
    """
    known = extract(discriminator, training, device, "features, training", Levers(half=True))
    apart = None if held_out is None else extract(discriminator, held_out, device, "features, held out")
    compared = {name: _filed(extract(discriminator, images, device, f"features, {name}")) for name, images in others}
    scale(known, [*compared.values(), *([] if apart is None else [apart])], "standardised")
    found = {}
    for name, filed in compared.items():
        features = filed.to(device)
        found[name] = Near(nearest(features, known), None if apart is None else nearest(features, apart))
    return None if apart is None else nearest(apart, known), found


def _filed(features: Tensor) -> Tensor:
    """The same in a file that vanishes with them."""
    return torch.from_numpy(files.scratch_array(tuple(features.shape), np.float32)).copy_(features)


def nearest(samples: Tensor, training: Tensor) -> Nearest:
    """By Euclidean distance between features (n, d) and (m, d), whose products are made in single precision."""
    lengths = torch.cat([part.square().sum(1) for part in torch.split(samples, SQUARED)])
    best = torch.full((len(samples),), float("inf"), device=samples.device)
    index = torch.zeros(len(samples), dtype=torch.int64, device=samples.device)
    for start in range(0, len(training), ROWS):
        block = training[start : start + ROWS].to(samples.device).float()  # they may be in half precision, on the CPU
        apart = lengths[:, None] + block.square().sum(1)[None] - 2 * (samples @ block.T)
        found, place = apart.min(1)
        nearer = found < best
        best, index = torch.where(nearer, found, best), torch.where(nearer, place + start, index)
    return Nearest(index.cpu().numpy(), best.clamp_min(0).sqrt().cpu().numpy())


def nearer_share(samples: np.ndarray, held_out: np.ndarray, seed: int) -> tuple[float, float, float]:
    """How often a sample lies nearer to its training image than an image that was held out does to its own; 95 %.

    Of all pairs of a distance in `samples` and one in `held_out`, ties by half: 0.5 where both are alike, near 1 where
    samples are copies. The interval is a bootstrap's, over samples and images (Efron 1979).
    """
    share = _share(samples, np.sort(held_out))
    source = np.random.default_rng(seed)
    drawn = [
        _share(source.choice(samples, len(samples)), np.sort(source.choice(held_out, len(held_out))))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return share, float(low), float(high)


def _share(samples: np.ndarray, held_out: np.ndarray) -> float:
    below = np.searchsorted(held_out, samples, side="left") + np.searchsorted(held_out, samples, side="right")
    return float(1 - below.mean() / (2 * len(held_out)))
