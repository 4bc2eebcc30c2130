"""Batches and noise as pure functions of (seed, step), so that a resumed training needs no sampler's state."""

import numpy as np
import torch
from torch import Tensor

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models.pixels import to_network
from ganpipe.runtime import mix_seed

WEIGHTS, NOISE, ORDER, SAMPLES, FREEZING = range(5)  # independent streams under one seed


class RealBatches:
    """The real batch of each step: every epoch a new seeded order of the corpus, its last incomplete batch left out."""

    def __init__(self, images: Images, batch_size: int, seed: int, device: torch.device) -> None:
        if len(images) < batch_size:
            raise UserError(f"train.batch_size is {batch_size}, but the corpus holds {len(images)} images: lower it")
        self.images, self.batch_size, self.seed, self.device = images, batch_size, seed, device
        self.per_epoch = len(images) // batch_size
        self._epoch, self._order = -1, np.empty(0, np.int64)
        # On a GPU the corpus moves there once; a CPU reads it through the memory map.
        self._resident = None
        if device.type == "cuda":
            self._resident = torch.from_numpy(images.pixels(np.arange(len(images)))).to(device)

    def __call__(self, step: int) -> Tensor:
        """float32 (batch_size, 3, H, W) in [-1, 1]."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, ORDER, epoch]).permutation(len(self.images))
            self._epoch = epoch
        indices = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        if self._resident is not None:
            return to_network(self._resident[torch.from_numpy(indices).to(self.device)])
        return to_network(torch.from_numpy(self.images.pixels(indices)))


def noise(count: int, latent: int, device: torch.device, *seed: int) -> Tensor:
    """Draws (count, latent), uniform in (-1, 1), determined by `seed` alone and the same on every device."""
    source = torch.Generator().manual_seed(mix_seed(*seed))
    return torch.empty(count, latent).uniform_(-1, 1, generator=source).to(device)
