"""Files that are either whole or not there: atomic writes, checksums."""

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ganpipe.errors import UserError

STUDIES = "studies"  # the folder of studies, in the pipeline's


def project_root(start: Path = Path()) -> Path:
    """The pipeline's folder, also from within a study, which is a DVC project in it; absolute.

    Of a temporary copy made by `dvc exp run --temp` or `--queue` it is the original's.
    """
    here = _original(start.resolve())
    project = next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)
    above = project.parent.parent
    return above if project.parent.name == STUDIES and (above / ".dvc").is_dir() else project


def _original(folder: Path) -> Path:
    parts = folder.parts
    for place in range(len(parts) - 2):
        if parts[place : place + 3] == (".dvc", "tmp", "exps"):
            return Path(*parts[:place])
    return folder


def work_folder() -> Path:
    """Where unfinished work is kept: `.ckpt` at the project's root, shared by its temporary copies."""
    root = project_root()
    return Path(".ckpt") if root == Path.cwd() else root / ".ckpt"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for what does not fit into memory: in the work folder, for /tmp may be memory. Gone at the end.

    Where the process is killed, it stays until `make clean`.
    """
    folder = work_folder()
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        yield Path(made)


def scratch_array(shape: tuple[int, ...], dtype: type[np.generic], folder: Path | None = None) -> np.ndarray:
    """Zeros in an unnamed file of the folder, else of the work folder: gone however the process ends."""
    if folder is None:
        folder = work_folder()
        folder.mkdir(exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        # Claimed at once: a disk that fills up under a memory map kills the process without a word.
        size = max(1, math.prod(shape) * np.dtype(dtype).itemsize)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return np.memmap(file, dtype, "r+", shape=shape) if math.prod(shape) else np.zeros(shape, dtype)


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
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def refuse_unwritable(option: str, path: Path) -> None:
    """UserError where no file can be written at `path`, which `option` names: said before the work, not after it."""
    if path.is_dir():
        raise UserError(f"{option} is {path}, a folder: name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{option} is {path}, where no file can be written ({error.strerror}): name another") from None


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically, indented, keys in the order given."""
    with atomic(path) as draft:
        draft.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file. Unlike `numpy.save`, a full disk is the operating system's error, with its number."""
    begin_array(path, np.shape(array), array.dtype)
    append_rows(path, array)


def begin_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Write the head of a .npy file, whose rows `append_rows` writes as they come: it need not be in memory whole."""
    head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)


def append_rows(path: Path, rows: np.ndarray) -> None:
    """Write the next rows of the array that `begin_array` began, of its dtype."""
    with path.open("ab") as file:
        file.write(np.asarray(rows, order="C").reshape(-1).view(np.uint8).data)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Short hex digest of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
