"""Files at addresses that fsspec opens, such as s3:// and gs://, and at paths. Each system fails in its own way."""

import glob
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import fsspec
from fsspec.callbacks import Callback

from ganpipe import files
from ganpipe.corpus.http import FetchError
from ganpipe.errors import FULL
from ganpipe.progress import Progress


class Stored(NamedTuple):
    """A file in a system of files."""

    system: fsspec.AbstractFileSystem
    path: str

    @property
    def name(self) -> str:
        """Without its folders."""
        return Path(self.path).name

    @property
    def size(self) -> int | None:
        """In bytes, where it is known."""
        with _failures():
            return self.system.info(self.path).get("size")


def find(address: str) -> list[Stored]:
    """The files that an address names, by name where it has a `*`. Raises FetchError where there is none."""
    with _failures():
        system, path = fsspec.core.url_to_fs(address)
        held = sorted(map(str, system.glob(path))) if glob.has_magic(path) else [path]
        if not held or not all(system.isfile(name) for name in held):
            raise FetchError("no such file")
    return [Stored(system, name) for name in held]


def below(address: str) -> dict[str, Stored]:
    """All files below a folder, by their path from there. Raises FetchError."""
    with _failures():
        system, path = fsspec.core.url_to_fs(address)
        root = path.rstrip("/") + "/"
        names = sorted(map(str, system.find(path)))
        held = (name for name in names if name.startswith(root) and not name.endswith("/"))  # as consoles make folders
        return {name.removeprefix(root): Stored(system, name) for name in held}


def copy(stored: Stored, to: Path, silent: bool = False) -> None:
    """Bring it here, whole. Raises FetchError."""
    size = stored.size
    with Progress(to.name, size or 0, "bytes", silent=silent) as progress, files.atomic(to) as draft:
        with _failures():
            stored.system.get_file(stored.path, str(draft), callback=_Advancing(progress))
        if size is not None and draft.stat().st_size != size:
            raise FetchError(f"it stopped after {draft.stat().st_size:,} of {size:,} bytes")


def copied(stored: Stored, folder: Path, silent: bool = False) -> Path:
    """Its copy in a folder; what is there already is taken where its size is right. Raises FetchError."""
    to, size = folder / stored.name, stored.size
    if not to.exists() or size is None or to.stat().st_size != size:
        copy(stored, to, silent)
    return to


def copied_folder(found: Mapping[str, Stored], folder: Path) -> Path:
    """`folder` with a copy of each file of `below` at its path, and with no other file. Raises FetchError."""
    if not found:
        raise FetchError("it holds no files")
    root = folder.resolve()
    with Progress(f"copying {folder.name}", len(found), "files") as progress, _failures():
        for path, stored in found.items():
            to = folder / path
            if not to.resolve().is_relative_to(root):
                raise FetchError(f"it names a file {path}, which leads out of it")
            copied(stored, to.parent, silent=True)
            progress.advance()
        for each in [path for path in folder.rglob("*") if path.is_file()]:
            if each.relative_to(folder).as_posix() not in found:  # of an earlier copy
                each.unlink()
    return folder


class _Advancing(Callback):  # type: ignore[misc]
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def relative_update(self, inc: int = 1) -> None:
        self._progress.advance(inc)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except FetchError:
        raise
    except OSError as error:
        if error.errno in FULL:
            raise
        raise FetchError(_sentence(error)) from None
    except Exception as error:  # whatever a system of files raises, this one cannot be read now
        raise FetchError(_sentence(error)) from None


def _sentence(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
