"""Images and encoded images for the tests of the corpus."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def noise(count: int, high: int, wide: int, seed: int = 0) -> np.ndarray:
    """Random images, uint8 (count, high, wide, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, high, wide, 3)).astype(np.uint8)


def encode(image: Image.Image | np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    """The image's file in that format."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def gigantic(wide: int = 20_000, high: int = 20_000) -> bytes:
    """A whole, black PNG of one bit a pixel: some kilobytes that unpack to far more than any photograph."""
    lines = zlib.compress(bytes((1 + -(-wide // 8)) * high), 1)
    head = struct.pack(">IIBBBBB", wide, high, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", lines), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def two_frames(form: str) -> bytes:
    """An animation whose first frame is red and whose second is blue."""
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    return encode(frames[0], form, save_all=True, append_images=frames[1:])
