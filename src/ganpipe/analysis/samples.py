"""Samples of a trained generator, to look at or to go on with: `ganpipe sample`."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganpipe import files
from ganpipe.corpus.images import grid
from ganpipe.errors import UserError
from ganpipe.models.draws import drawn, noise
from ganpipe.models.store import load_config, load_generator, split_average

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
    return drawn(generator, noise(count, generator.latent, distribution, seed, truncation=truncation), device)


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
