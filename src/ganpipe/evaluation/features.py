"""Features of a discriminator: every layer's maps, max-pooled to 4x4, concatenated, unscaled (paper, section 5.1).

Beside the paper's there are levers, each off by default: `Levers`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganpipe import files
from ganpipe.models.dcgan import POOLED, Discriminator
from ganpipe.models.pixels import to_network
from ganpipe.progress import Progress
from ganpipe.runtime import engine, map_batches, sum_over_processes, threads

BATCH = 250
ROWS = 1024  # scaled at a time

Pooling = Literal["max", "mean", "both"]
Scaling = Literal["none", "standardised", "signed_root"]
POOLINGS: dict[Pooling, tuple[Callable[[Tensor, int], Tensor], ...]] = {
    "max": (F.adaptive_max_pool2d,),
    "mean": (F.adaptive_avg_pool2d,),
    "both": (F.adaptive_max_pool2d, F.adaptive_avg_pool2d),
}


class Levers(NamedTuple):
    """What may be done otherwise than in the paper."""

    layers: tuple[int, ...] | None = None  # which convolutions, the first is 1; None for all
    pooling: Pooling = "max"
    flip: bool = False  # the mean over each image and its mirror image
    half: bool = False  # kept in half precision in a file, where they would not fit into memory


PAPERS = Levers()


@torch.no_grad()
def extract(
    discriminator: Discriminator,
    pixels: np.ndarray,
    device: torch.device,
    label: str,
    levers: Levers = PAPERS,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Features (N, count), held as `dtype`, of uint8 (N, H, W, 3), with the batch-norm statistics frozen before.

    With `levers.half` they are float16 in a file that vanishes with them, whatever its size. With GANPIPE_ENGINE=ray
    they come from the cluster's CPUs, unless the device is a GPU: the bits are those of one thread here.
    """
    discriminator.eval()
    features: Tensor | None = None
    starts = range(0, len(pixels), BATCH)
    batches = (pixels[start : start + BATCH] for start in starts)
    if engine() == "ray" and device.type == "cpu":  # a GPU here is faster than the way to others
        parts = map_batches(partial(_by_one_thread, discriminator, levers), batches, len(starts))
    else:
        parts = (of_batch(discriminator, levers, device, batch) for batch in batches)
    with Progress(label, len(pixels), "images") as progress:
        for start, found in zip(starts, parts, strict=True):
            if features is None:
                shape = len(pixels), found.shape[1]
                features = _on_disk(shape) if levers.half else torch.empty(shape, dtype=dtype, device=device)
            features[start : start + BATCH] = found
            progress.advance(len(found))
    if features is None:
        raise ValueError("there are no images to take features of")
    return features


@torch.no_grad()
def of_batch(discriminator: Discriminator, levers: Levers, device: torch.device, pixels: np.ndarray) -> Tensor:
    """Features (n, count), in the precision that the network runs in, of uint8 (n, H, W, 3)."""
    images = to_network(torch.from_numpy(pixels).to(device))
    found = pooled(discriminator, images, levers)
    return (found + pooled(discriminator, images.flip(3), levers)) / 2 if levers.flip else found


def _by_one_thread(discriminator: Discriminator, levers: Levers, pixels: np.ndarray) -> Tensor:
    """What a machine of a cluster does, once for each of its cores."""
    with threads(1):
        return of_batch(discriminator, levers, torch.device("cpu"), np.array(pixels))  # what comes there is read-only


def pooled(discriminator: Discriminator, images: Tensor, levers: Levers) -> Tensor:
    """Features (N, count) of images as the network takes them."""
    maps = discriminator.activations(images)
    chosen = maps if levers.layers is None else [maps[number - 1] for number in levers.layers]
    return torch.cat([pool(layer, POOLED).flatten(1) for layer in chosen for pool in POOLINGS[levers.pooling]], dim=1)


def columns(discriminator: Discriminator, levers: Levers) -> dict[int, slice]:
    """Which of the features are those of a layer, by the layer's number, the first is 1."""
    chosen = levers.layers or range(1, len(discriminator.convs) + 1)
    found, start = {}, 0
    for number in chosen:
        filters = discriminator.width * discriminator.layers[number - 1].filters
        count = POOLED * POOLED * filters * len(POOLINGS[levers.pooling])
        found[number] = slice(start, start + count)
        start += count
    return found


def scale(train: Tensor, others: list[Tensor], scaling: Scaling) -> None:
    """Scale features in place: to mean 0 and variance 1 over `train`, or each to its root, its sign kept.

    Where processes share the rows, mean and variance are those of all of them.
    """
    if scaling == "none":
        return
    mean, inverse = _moments(train) if scaling == "standardised" else (torch.empty(0), torch.empty(0))
    for features in (train, *others):
        for block in _blocks(features):
            wide = block.float()
            if scaling == "standardised":  # those in half precision lie on the CPU, whatever the device
                block.copy_((wide - mean.to(wide.device)) * inverse.to(wide.device))
            else:
                block.copy_(wide.sign() * wide.abs().sqrt())


def weigh(features: Tensor, parts: Sequence[slice], weights: Sequence[float]) -> None:
    """Multiply each part of the columns by its weight, in place."""
    for block in _blocks(features):
        for part, weight in zip(parts, weights, strict=True):
            block[:, part] *= weight


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Each feature's mean and inverse standard deviation; a constant feature is only centred."""
    count = int(sum_over_processes(torch.tensor(len(features))))
    total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
    for block in _blocks(features):
        total += block.double().sum(0)
    mean = sum_over_processes(total) / count
    squares = torch.zeros_like(total)
    for block in _blocks(features):
        squares += (block.double() - mean).square_().sum(0)
    deviation = (sum_over_processes(squares) / count).sqrt()
    constant = deviation <= 1e-6 * mean.abs()
    return mean.float(), torch.where(constant, 1.0, 1 / deviation.masked_fill(constant, 1.0)).float()


def _blocks(features: Tensor) -> Iterator[Tensor]:
    return iter(torch.split(features, ROWS))


def _on_disk(shape: tuple[int, int]) -> Tensor:
    return torch.from_numpy(files.scratch_array(shape, np.float16))
