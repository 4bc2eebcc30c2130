"""What a generator of images from noise draws: z, and the images of it."""

import numpy as np
import torch
from torch import Tensor

from ganpipe.models.pixels import from_network, in_colour
from ganpipe.models.store import Sampler
from ganpipe.runtime import mix_seed

BATCH = 256


def noise(count: int, latent: int, distribution: str, *seed: int, truncation: float | None = None) -> Tensor:
    """z, float32 (count, latent), uniform in (-1, 1) or normal, determined by `seed` alone, on the CPU.

    With a truncation no number is further from 0: uniform ones have a narrower range, normal ones are drawn again.
    """
    source = torch.Generator().manual_seed(mix_seed(*seed))
    z = torch.empty(count, latent)
    if distribution != "normal":
        most = 1.0 if truncation is None else min(1.0, truncation)
        return z.uniform_(-most, most, generator=source)
    z.normal_(generator=source)
    while truncation is not None and bool((beyond := z.abs() > truncation).any()):
        z[beyond] = torch.randn(int(beyond.sum()), generator=source)
    return z


@torch.inference_mode()
def drawn(generator: Sampler, z: Tensor, device: torch.device) -> np.ndarray:
    """The images of z, uint8 (n, H, W, 3)."""
    return np.concatenate([in_colour(from_network(generator(part.to(device)))) for part in torch.split(z, BATCH)])
