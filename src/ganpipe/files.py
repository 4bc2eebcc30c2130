"""Files that are either whole or not there: atomic writes, checksums, manifests."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ganpipe.errors import UserError

MANIFEST = "manifest.json"
SCHEMA = 1  # of every manifest; raised when a reader of the old form would go wrong


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` to write to; on success it is flushed to disk and renamed to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` to fill; on success it takes the place of `path`, whatever stood there."""
    draft = path.with_name(f".{path.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        if path.exists():
            shutil.rmtree(path)
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically, indented, keys in the order given."""
    with atomic(path) as draft:
        draft.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file. Unlike `numpy.save`, a full disk is the operating system's error, with its number."""
    whole = np.asarray(array, order="C")
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(whole))
        file.write(whole.reshape(-1).view(np.uint8).data)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Short hex digest of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a stage's output folder; a UserError where there is none or it is of another form."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} has no {MANIFEST}: run the stage that makes it with `dvc repro`") from None
    except ValueError as error:
        raise UserError(f"{folder / MANIFEST} is not JSON ({error}): make it anew with `dvc repro`") from None
    if not isinstance(manifest, dict):
        raise UserError(f"{folder / MANIFEST} is no manifest: make it anew with `dvc repro`")
    if manifest.get("schema") != SCHEMA:
        raise UserError(
            f"{folder} is of schema {manifest.get('schema')}, this reads {SCHEMA}: make it anew with `dvc repro`"
        )
    return manifest
