"""Samples of a trained generator, to look at or to go on with: `ganpipe sample`."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganpipe import files
from ganpipe.corpus.images import grid
from ganpipe.errors import UserError
from ganpipe.models.pixels import from_network, in_colour
from ganpipe.models.store import Sampler, load_config, load_generator, split_average
from ganpipe.runtime import mix_seed

BATCH = 256
REDRAWN = 0.01  # truncation below which nearly every normal number would have to be drawn again


def sample(model: str, count: int, seed: int, truncation: float | None, device: torch.device) -> np.ndarray:
    """`count` images of the generator in the folder `model`, uint8 (count, H, W, 3), as `seed` determines.

    `:average` behind the folder takes its averaged weights.

    `truncation` keeps every number of z within so much of 0: normal ones beyond it are drawn again (Brock et al. 2019,
    section 3.1), uniform ones come from that interval.
    """
    if count < 1 or seed < 0:
        raise UserError(f"--count is {count} and --seed {seed}: they are numbers from 1 and from 0")
    if truncation is not None and not REDRAWN <= truncation < math.inf:
        raise UserError(f"--truncation is {truncation:g}: it is a number from {REDRAWN}")
    folder, average = split_average(model)
    generator = load_generator(folder, device, average)
    distribution = load_config(folder).get("train", {}).get("noise", "uniform")
    return drawn(generator, noise(count, generator.latent, distribution, seed, truncation), device)


def noise(count: int, latent: int, distribution: str, seed: int, truncation: float | None = None) -> Tensor:
    """z, float32 (count, latent), on the CPU."""
    source = torch.Generator().manual_seed(mix_seed(seed))
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


def write(images: np.ndarray, to: Path) -> None:
    """One picture of all (.png), the pixels (.npy), or in any other place a folder with a picture each."""
    if to.suffix == ".png":
        with files.atomic(to) as draft:
            grid(images, math.ceil(math.sqrt(len(images)))).save(draft, "PNG")
    elif to.suffix == ".npy":
        with files.atomic(to) as draft:
            files.save_array(draft, images)
    elif to.exists():
        raise UserError(f"--out is {to}, which is there already: name a new folder, or a file ending in .png or .npy")
    else:
        with files.atomic_folder(to) as draft:
            for number, image in enumerate(images):
                Image.fromarray(image).save(draft / f"{number:06}.png")
