"""Arrays as PNG files, and a layer's maps as a picture."""

import base64
import io

import numpy as np
from PIL import Image

from ganpipe.corpus.images import grid

MOST = 64  # maps of a layer that are shown
COLUMNS = 8


def png(pixels: np.ndarray) -> bytes:
    """Of uint8 (H, W, 3)."""
    written = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(written, "PNG", compress_level=1)
    return written.getvalue()


def tiles(images: np.ndarray, columns: int) -> bytes:
    """Images uint8 (n, H, W, 3) side by side without a gap, row by row, as PNG."""
    return png(np.asarray(grid(images, columns, gap=0)))


def address(pixels: np.ndarray) -> str:
    """As a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def to_network(pixels: np.ndarray) -> np.ndarray:
    """Pixels uint8 (n, H, W, 3) to float32 (n, 3, H, W) in [-1, 1]."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / 127.5 - 1


def from_network(images: np.ndarray) -> np.ndarray:
    """Float (n, 1 or 3, H, W) in [-1, 1] to uint8 (n, H, W, 3), grey ones three times the same."""
    levels: np.ndarray = np.rint((images + 1) * 127.5).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return levels.repeat(3 // levels.shape[3], axis=3)


def maps(layer: np.ndarray) -> np.ndarray:
    """The first maps of a layer, float (filters, h, w), each from its least to its largest value: uint8 (H, W, 3)."""
    shown = layer[:MOST]
    low, high = shown.min((1, 2), keepdims=True), shown.max((1, 2), keepdims=True)
    levels = ((shown - low) / np.maximum(high - low, 1e-12) * 255).astype(np.uint8)
    scale = max(1, 32 // levels.shape[1])
    return np.asarray(grid(levels[..., None].repeat(3, 3), COLUMNS, scale))
