"""Images, encoded images and folders of them for the tests of the corpus."""

import io
import json
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganpipe.corpus.shards import Images


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


def fill(root: Path, contents: dict[str, bytes]) -> Path:
    """Write the files below `root`."""
    for name, data in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def names(images: Images) -> list[str]:
    """What the facts in the encoded shards say, in the images' order."""
    found: list[str] = []
    for shard in images.manifest["shards"]:
        with tarfile.open(images.folder / shard["file"]) as tar:
            members = [member for member in tar if member.name.endswith(".json")]
            found += [json.load(tar.extractfile(member))["name"] for member in members]  # type: ignore[arg-type]
    return found
