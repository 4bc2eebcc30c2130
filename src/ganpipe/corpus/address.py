"""From what a user names to files here: paths and addresses, with `*` and `{000..099}` for several of them."""

import glob
import hashlib
import itertools
import re
from pathlib import Path

import fsspec
from fsspec.callbacks import Callback

from ganpipe import files
from ganpipe.errors import UserError
from ganpipe.progress import Progress

NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")
MOST = 1_000_000  # files that one name may stand for


def local(setting: str, wanted: str, folder: Path) -> list[Path]:
    """The files that `wanted` names, in its order, by name where it has a `*`; remote ones are copied to `folder`.

    Any address that fsspec opens: a path, http://, s3://, gs://. `setting` is named where there is none: UserError.
    """
    found: list[Path] = []
    for each in _numbered(setting, wanted):
        if "://" in each and not each.startswith("file://"):
            found += _fetched(setting, each, folder)
            continue
        path = str(Path(each.removeprefix("file://")).expanduser())
        held = sorted(glob.glob(path)) if glob.has_magic(path) else [path]  # noqa: PTH207 (a path, or a pattern of any)
        if not held or not all(Path(name).is_file() for name in held):
            raise UserError(f"{setting} is {wanted}: there is no file {path} (seen from {Path.cwd()})")
        found += map(Path, held)
    return found


def _numbered(setting: str, wanted: str) -> list[str]:
    """What shell braces make of it."""
    parts = NUMBERS.split(wanted)  # text, first, last, text, first, last, ..., text
    texts, ranges = parts[::3], list(zip(parts[1::3], parts[2::3], strict=True))
    counts = [int(last) - int(first) + 1 for first, last in ranges]
    if any(count < 1 for count in counts) or _product(counts) > MOST:
        raise UserError(f"{setting} is {wanted}: a range in braces goes from a smaller to a larger number")
    numbers = [[f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1)] for first, last in ranges]
    return [
        texts[0] + "".join(number + text for number, text in zip(chosen, texts[1:], strict=True))
        for chosen in itertools.product(*numbers)
    ]


def _product(counts: list[int]) -> int:
    product = 1
    for count in counts:
        product *= count
    return product


def _fetched(setting: str, address: str, folder: Path) -> list[Path]:
    try:
        system, path = fsspec.core.url_to_fs(address)
        held = sorted(map(str, system.glob(path))) if glob.has_magic(path) else [path]
        if not held:
            raise FileNotFoundError("no such file")
        return [_copy(system, name, folder / hashlib.sha256(address.encode()).hexdigest()[:12]) for name in held]
    except ImportError as error:
        raise UserError(f"{setting} is {address}: {error}") from None
    except Exception as error:  # every file system raises its own
        raise UserError(f"{setting} is {address}, which could not be read: {error or type(error).__name__}") from None


def _copy(system: fsspec.AbstractFileSystem, name: str, folder: Path) -> Path:
    """What is there already is taken where its size is right."""
    to = folder / Path(name).name
    size = system.info(name).get("size")
    if to.exists() and size is not None and to.stat().st_size == size:
        return to
    with Progress(to.name, size or 0, "bytes") as progress, files.atomic(to) as draft:
        system.get_file(name, str(draft), callback=_Advancing(progress))
    if size is not None and to.stat().st_size != size:
        to.unlink()
        raise OSError(f"{name} stopped before its end")
    return to


class _Advancing(Callback):  # type: ignore[misc]
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def relative_update(self, inc: int = 1) -> None:
        self._progress.advance(inc)
