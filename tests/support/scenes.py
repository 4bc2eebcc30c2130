"""Random images that are smooth, colourful and all different: what a photograph is to a hash and to its judge."""

import numpy as np
from PIL import Image


def scene(seed: int, wide: int = 32, high: int = 32) -> np.ndarray:
    """uint8 (high, wide, 3): 8 x 8 random colours, none at the ends of the range, and what lies between them."""
    colours = np.random.default_rng(seed).integers(40, 180, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(colours).resize((wide, high), Image.Resampling.BICUBIC))


def scenes(count: int) -> np.ndarray:
    """uint8 (count, 32, 32, 3)."""
    return np.stack([scene(seed) for seed in range(count)])
