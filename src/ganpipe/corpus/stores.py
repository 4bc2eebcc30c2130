"""Files at addresses that fsspec opens, such as s3:// and gs://, and at paths. Each system fails in its own way."""

import errno
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import fsspec
from fsspec.callbacks import Callback

from ganpipe import files
from ganpipe.corpus.http import FetchError, PassingError, persistently
from ganpipe.errors import FULL
from ganpipe.progress import Progress

A = TypeVar("A")
T = TypeVar("T")

SEGMENT = 16 << 20  # bytes of a range; files of more than two are read in ranges
CONNECTIONS = 8  # ranges, or files of a folder, at a time
# What stays the same when asked again: of a store, and of the disk that a copy is written to.
FINAL = (FileNotFoundError, PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError)
FINAL_NUMBERS = (errno.EINVAL, errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS)
VERSION = ("size", "ETag", "etag", "md5Hash", "content_md5", "generation", "LastModified", "last_modified", "mtime")
# A store that falls silent: the client waits a minute, five times, and that for each of its attempts.
PATIENCE = {"connect_timeout": 15, "read_timeout": 15, "retries": {"max_attempts": 1}}
LONGEST_NAME = 200  # bytes of a name here: file systems take 255, and a draft's has some more than its file's
LONGEST_EXTENSION = 10  # the same, of the extension that a long name keeps


class Stored(NamedTuple):
    """A file in a system of files."""

    system: fsspec.AbstractFileSystem
    path: str

    @property
    def name(self) -> str:
        """Without its folders, as a file here may have it. Raises FetchError."""
        return _place(self.path.rpartition("/")[2])

    @property
    def size(self) -> int | None:
        """In bytes, where it is known."""
        return _asked(lambda: self.system.info(self.path).get("size"))

    def version(self) -> list[Any]:
        """What the store says now of the file: something else where it has changed. Raises FetchError."""
        self.system.invalidate_cache()
        about = _asked(self.system.info, self.path)
        return [about.get(key) for key in VERSION]


def find(address: str) -> list[Stored]:
    """The files that an address names, by name where it has a `*`. Raises FetchError where there is none."""
    system, path = _opened(address)
    held = sorted(map(str, _asked(system.glob, path))) if glob.has_magic(path) else [path]
    if not held or not all(_asked(_is_file, system, name) for name in held):
        raise FetchError("no such file")
    return [Stored(system, name) for name in held]


def _is_file(system: fsspec.AbstractFileSystem, path: str) -> bool:
    """Unlike fsspec's own `isfile`, a store that does not answer is no reason to say no."""
    try:
        return bool(system.info(path)["type"] == "file")
    except FileNotFoundError:
        return False


def below(address: str) -> dict[str, Stored]:
    """All files below a folder, by the store's names for their ways there, which may be any text. FetchError."""
    system, path = _opened(address)
    root = path.rstrip("/") + "/"
    names = sorted(map(str, _asked(system.find, path)))
    held = (name for name in names if name.startswith(root) and not name.endswith("/"))  # as consoles make folders
    return {name.removeprefix(root): Stored(system, name) for name in held}


def copy(stored: Stored, to: Path, silent: bool = False) -> None:
    """Bring it here, whole; a large one in ranges, several at a time. Raises FetchError.

    What fails in passing is asked for again, a few times.
    """
    size = stored.size
    with Progress(to.name, size or 0, "bytes", silent=silent) as progress, files.atomic(to) as draft:
        if size is not None and size > 2 * SEGMENT:
            _in_ranges(stored, draft, size, progress)
        else:
            _asked(_whole, stored, draft, size, progress)


def _whole(stored: Stored, draft: Path, size: int | None, progress: Progress) -> None:
    progress.done = 0
    stored.system.get_file(stored.path, str(draft), callback=_Advancing(progress))
    if size is not None and draft.stat().st_size != size:
        raise PassingError(f"it stopped after {draft.stat().st_size:,} of {size:,} bytes")


def _in_ranges(stored: Stored, draft: Path, size: int, progress: Progress) -> None:
    version = stored.version()
    with draft.open("wb") as file, ThreadPoolExecutor(CONNECTIONS) as pool:

        def segment(start: int) -> int:
            stop = min(size, start + SEGMENT)
            data = stored.system.cat_file(stored.path, start=start, end=stop)
            if len(data) != stop - start:
                raise PassingError(f"it gave {len(data):,} bytes where {stop - start:,} were asked for")
            os.pwrite(file.fileno(), data, start)
            return len(data)

        for length in _all(pool, segment, range(0, size, SEGMENT)):
            progress.advance(length)
    if stored.version() != version:
        raise FetchError("it changed while it was read")


def copied(stored: Stored, to: Path, silent: bool = False) -> Path:
    """Its copy at `to`; what is there already is taken where its size is right. Raises FetchError."""
    size = stored.size
    if not to.exists() or size is None or to.stat().st_size != size:
        copy(stored, to, silent)
    return to


def copied_folder(found: Mapping[str, Stored], folder: Path) -> Path:
    """`folder` with a copy of each file of `below` at its path, long names shortened, and with no other file.

    Raises FetchError, also before anything is copied where a path can be none here, or two would be one.
    """
    if not found:
        raise FetchError("it holds no files")
    held: dict[str, Stored] = {}
    for path, stored in found.items():
        place = _place(path)
        if place in held:
            raise _the_same(path)
        held[place] = stored
    _leave_only(held.keys(), folder)

    def one(place: str) -> None:
        copied(held[place], folder / place, silent=True)

    with Progress(f"copying {folder.name}", len(held), "files") as progress, ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in _all(pool, one, held):
            progress.advance()
    # Two names that differ in capitals or accents only may be one to the system that the copy lies in.
    if missing := held.keys() - _files_in(folder):
        raise _the_same(min(missing))
    return folder


def _the_same(path: str) -> FetchError:
    return FetchError(f"it names a file {path[:200]!a}, which would be one with another file here: rename it there")


def _place(path: str) -> str:
    """A way through folders here, of a store's path, whose parts may be anything. Raises FetchError."""
    parts = path.split("/")
    try:
        if "\0" in path or any(part in ("", ".", "..") for part in parts):
            raise ValueError("no names of files")
        return "/".join(map(short_name, parts))
    except ValueError:  # also of what cannot be encoded
        raise FetchError(f"it names a file {path[:200]!a}, which no folder here can hold: rename it there") from None


def short_name(name: str) -> str:
    """The name of a file or a folder; of a long one the beginning and the extension, with a digest of all of it.

    Raises UnicodeEncodeError where it is no name at all.
    """
    whole = os.fsencode(name)
    if len(whole) <= LONGEST_NAME:
        return name
    extension = Path(name).suffix
    end = f"-{files.digest(name)}{extension if len(os.fsencode(extension)) <= LONGEST_EXTENSION else ''}"
    return whole[: LONGEST_NAME - len(os.fsencode(end))].decode(errors="ignore") + end


def _leave_only(places: AbstractSet[str], folder: Path) -> None:
    """Remove what else an earlier copy left: its files, and its folders, may stand in the way of others."""
    for place in _files_in(folder) - places:
        (folder / place).unlink()
    for here, _, _ in os.walk(folder, topdown=False):
        if not any(Path(here).iterdir()):
            Path(here).rmdir()


def _files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _all(pool: ThreadPoolExecutor, work: Callable[[A], T], arguments: Iterable[A]) -> Iterator[T]:
    """`work` of each, in order; after a failure no further one is begun."""
    remaining = iter(arguments)
    pending = [pool.submit(_asked, work, each) for each in islice(remaining, 2 * CONNECTIONS)]
    try:
        while pending:
            yield pending.pop(0).result()
            pending.extend(pool.submit(_asked, work, each) for each in islice(remaining, 1))
    finally:
        for each in pending:
            each.cancel()


def _opened(address: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The system of files, and the path in it. What a user has set for fsspec stays."""
    with _failures():
        protocol = address.partition("://")[0]
        ours = protocol in ("s3", "s3a") and "config_kwargs" not in fsspec.config.conf.get(protocol, {})
        return fsspec.core.url_to_fs(address, **({"config_kwargs": PATIENCE} if ours else {}))


def _asked(work: Callable[..., T], *arguments: Any) -> T:
    """`work`, again after what may pass. Raises FetchError."""

    def once() -> T:
        with _failures():
            return work(*arguments)

    try:
        return persistently(once)
    except PassingError as error:
        raise FetchError(str(error)) from None


class _Advancing(Callback):  # type: ignore[misc]
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def relative_update(self, inc: int = 1) -> None:
        self._progress.advance(inc)


@contextmanager
def _failures() -> Iterator[None]:
    """Whatever a system of files raises, as one of two: it stays so, or it may pass."""
    try:
        yield
    except (FetchError, PassingError):
        raise
    except OSError as error:
        if error.errno in FULL:
            raise
        stays = isinstance(error, FINAL) or error.errno in FINAL_NUMBERS
        raise (FetchError if stays else PassingError)(_sentence(error)) from None
    except (ValueError, ImportError) as error:  # of an address that nothing opens
        raise FetchError(_sentence(error)) from None
    except Exception as error:
        raise PassingError(_sentence(error)) from None


def _sentence(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
