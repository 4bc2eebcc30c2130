"""Batches and noise as pure functions of (seed, step), so that a resumed training needs no sampler's state."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models.dcgan import ROTATIONS
from ganpipe.models.draws import noise
from ganpipe.models.pixels import to_network
from ganpipe.runtime import mix_seed, share, world
from ganpipe.training import augment
from ganpipe.training.params import Training, TrainParams

WEIGHTS, NOISE, ORDER, SAMPLES, FREEZING, DISTORTION, MIXING, DROPOUT = range(8)  # independent streams under one seed


class Batch(NamedTuple):
    """All that a step takes from outside, each process's part of it. Draws that no setting asks for are empty."""

    real: Tensor  # (n, C, H, W) in [-1, 1], or (n, 1)
    z: Tensor  # (n, latent)
    distort_real: Tensor  # (n, augment.DRAWS) uniform in (0, 1)
    distort_fake: Tensor
    mix: Tensor  # (n,) uniform in (0, 1)
    turns: Tensor  # (n,) int64, 0 to 3


class Corpus:
    """The training images of a corpus in a new seeded order every epoch, the last incomplete batch left out."""

    def __init__(self, images: Images, params: Training, device: torch.device) -> None:
        size = world()[1]
        self.rows = images.rows("train")
        if len(self.rows) < params.batch_size:
            raise UserError(
                f"train.batch_size is {params.batch_size}, but the corpus holds {len(self.rows)} images: lower it"
            )
        if params.batch_size % size:
            raise UserError(f"train.batch_size is {params.batch_size}, which {size} processes cannot share equally")
        self.images, self.settings, self.device = images, params, device
        self.part = share(params.batch_size)
        self.per_epoch = len(self.rows) // params.batch_size
        self._epoch, self._order = -1, np.empty(0, np.int64)
        self._form = to_network if images.manifest["dtype"] == "uint8" else Tensor.float
        # On a GPU the corpus moves there once; a CPU reads it through the memory map.
        self._resident = None
        if device.type == "cuda":
            self._resident = torch.from_numpy(images.pixels(np.arange(len(images)))).to(device)

    def rows_of(self, step: int) -> np.ndarray:
        """Indices of the images of that step's batch that are this process's."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.settings.seed, ORDER, epoch]).permutation(len(self.rows))
            self._epoch = epoch
        count = self.settings.batch_size
        return self.rows[self._order[place * count : (place + 1) * count][self.part]]

    def take(self, rows: np.ndarray) -> Tensor:
        """Images as networks take them, float32 (n, C, H, W) in [-1, 1], on the device; numbers (n, 1) as they are."""
        if self._resident is not None:
            return self._form(self._resident[torch.from_numpy(rows).to(self.device, non_blocking=True)])
        return self._form(torch.from_numpy(self.images.pixels(rows)))


class Batches(Corpus):
    """The batch of each step, with its noise."""

    def __init__(self, images: Images, params: TrainParams, device: torch.device) -> None:
        super().__init__(images, params, device)
        self.params = params

    def __call__(self, step: int) -> Batch:
        """The batch of that step, on the device."""
        params, count = self.params, self.params.batch_size
        distorting = augment.DRAWS if params.augment == "diffaugment" else 0
        return Batch(
            real=self.take(self.rows_of(step)),
            z=self._sent(noise(count, params.latent, params.noise, params.seed, NOISE, step)),
            distort_real=self._sent(uniform(count, distorting, params.seed, DISTORTION, step, 0)),
            distort_fake=self._sent(uniform(count, distorting, params.seed, DISTORTION, step, 1)),
            mix=self._sent(uniform(count, int(params.gradient_penalty > 0), params.seed, MIXING, step).flatten()),
            turns=self._sent(torch.arange(count if params.rotation else 0) % ROTATIONS),
        )

    def _sent(self, whole: Tensor) -> Tensor:
        """The part that is this process's, on the device; only the device waits for the copy."""
        part = whole[self.part]
        return part.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else part


def uniform(count: int, columns: int, *seed: int) -> Tensor:
    """Draws (count, columns), uniform in (0, 1), determined by `seed` alone, on the CPU."""
    return torch.rand(count, columns, generator=torch.Generator().manual_seed(mix_seed(*seed)))
