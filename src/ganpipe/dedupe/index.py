"""What `ganpipe dedupe` remembers of images: a folder with their codes, and with the hash that made them."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganpipe import files
from ganpipe.dedupe import hashes, projection
from ganpipe.dedupe.projection import Projection
from ganpipe.errors import UserError
from ganpipe.manifest import SCHEMA

INDEX, CODES, ENCODER = "index.json", "codes.npy", "encoder.safetensors"
METHODS = ("whitened", *hashes.PERCEPTUAL)

Hashing = Callable[[np.ndarray], np.ndarray]  # uint8 (n, 32, 32, 3) to codes, uint8 (n, B/8)


class Mark(NamedTuple):
    """What a file is known by: a changed one is another."""

    path: str  # absolute
    size: int
    time: int  # of its last change, ns


class Radius(NamedTuple):
    """One that was measured."""

    bits: int
    images: int  # among which


class Index(NamedTuple):
    """What was hashed, and how."""

    method: str
    learned: Projection | None  # the hash, where it is one that learns
    learned_from: int  # images
    radius: Radius | None  # None where none has been measured
    marks: Sequence[Mark]
    pixels: np.ndarray  # int64 (N,), of each image
    codes: np.ndarray  # uint8 (N, B/8)

    @property
    def hashing(self) -> Hashing:
        """What takes squares to codes."""
        return partial(hashes.perceptual, self.method) if self.learned is None else self.learned.codes


def mark(path: Path) -> Mark:
    """As the file is now; of size -1 where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return Mark(str(path), -1, -1)
    return Mark(str(path), status.st_size, status.st_mtime_ns)


def refuse_others(folder: Path) -> None:
    """UserError where an index would be written over anything else."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--index is {folder}, which is no folder: name one")
    others = {path.name for path in folder.iterdir()} - {INDEX, CODES, ENCODER} if folder.exists() else set()
    if others:
        raise UserError(f"--index is {folder}, which holds {sorted(others)[0]} and is no index: name a new folder")


def read(folder: Path, method: str, bits: int) -> Index | None:
    """What `write` left there, or None; a UserError where it is damaged or of another hash."""
    if not (folder / INDEX).exists():
        return None
    try:
        about: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if about["schema"] != SCHEMA or about["method"] not in METHODS:
            raise ValueError("unknown form")
        marks = [Mark(str(path), int(size), int(time)) for path, size, time in about["files"]]
        codes = np.array(np.load(folder / CODES, mmap_mode="r"))  # mapped first: what a header claims must be there
        pixels = np.array(about["pixels"], np.int64)
        if codes.dtype != np.uint8 or codes.ndim != 2 or not len(codes) == len(marks) == len(pixels):
            raise ValueError("codes of another form")
        radius = None if about["radius"] is None else Radius(*map(int, about["radius"]))
        learned_from = int(about["learned_from"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{folder} holds no index that can be read ({error}): remove it, and it is made anew") from None
    if about["method"] != method:
        raise UserError(f"the index {folder} was made with --method {about['method']}: say so, or name another folder")
    if method not in hashes.PERCEPTUAL and 8 * codes.shape[1] != bits:
        raise UserError(f"the index {folder} was made with --bits {8 * codes.shape[1]}: say so, or name another folder")
    learned = None if method in hashes.PERCEPTUAL else projection.load(folder / ENCODER)
    return Index(method, learned, learned_from, radius, marks, pixels, codes)


def write(folder: Path, index: Index) -> None:
    """In the place of the one that is there."""
    with files.atomic_folder(folder) as draft:
        if index.learned is not None:
            projection.save(draft / ENCODER, index.learned)
        files.save_array(draft / CODES, index.codes)
        about = {"schema": SCHEMA, "method": index.method, "learned_from": index.learned_from, "radius": index.radius}
        # In ASCII: a path may hold bytes that are no text.
        (draft / INDEX).write_text(
            json.dumps({**about, "files": list(index.marks), "pixels": index.pixels.tolist()}), encoding="ascii"
        )
