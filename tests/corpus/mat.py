"""MATLAB files in the layout of SVHN's cropped digits, for the tests, written by scipy."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.io
from corpus.pictures import noise


def mat(arrays: Mapping[str, Any], compressed: bool = True) -> bytes:
    """The file that holds these."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, dict(arrays), do_compression=compressed)
    return buffer.getvalue()


def svhn_arrays(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """X and y as published: height, width, channel, image; the digits 1 to 9 and then 10 for 0."""
    pixels = noise(count, 32, 32, seed)
    return {"X": pixels.transpose(1, 2, 3, 0), "y": (np.arange(count)[:, None] % 10 + 1).astype(np.uint8)}
