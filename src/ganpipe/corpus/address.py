"""From what a user names to files here: paths and addresses, with `*` and `{000..099}` for several of them."""

import glob
import itertools
import math
import re
from pathlib import Path

from ganpipe import files
from ganpipe.corpus import fetch, stores
from ganpipe.corpus.http import FetchError
from ganpipe.errors import UserError

NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")
MOST = 1_000_000  # files that one name may stand for


def local(setting: str, wanted: str, folder: Path) -> list[Path]:
    """The files that `wanted` names, in its order, by name where it has a `*`; remote ones are copied to `folder`.

    Any address that fsspec opens: a path, http://, s3://, gs://. `setting` is named where there is none: UserError.
    """
    found: list[Path] = []
    for each in _numbered(setting, wanted):
        if _is_remote(each):
            found += _fetched(setting, each, folder)
            continue
        path = str(_here(setting, each))
        held = sorted(glob.glob(path)) if glob.has_magic(path) else [path]  # noqa: PTH207 (a path, or a pattern of any)
        if not held or not all(Path(name).is_file() for name in held):
            raise UserError(f"{setting} is {wanted}: there is no file {path} (seen from {Path.cwd()})")
        found += map(Path, held)
    return found


def local_folder(setting: str, wanted: str, folder: Path) -> Path:
    """The folder that `wanted` names; a remote one is copied to `folder`, with all that is below it now.

    Any address that fsspec lists. `setting` is named where that cannot be done: UserError. Whether a path leads to a
    folder is not looked at.
    """
    if not _is_remote(wanted):
        return _here(setting, wanted)
    name = stores.short_name(re.sub(r"[^\w.-]", "_", wanted.rstrip("/").rpartition("/")[2]).lstrip("."))
    try:
        return stores.copied_folder(stores.below(wanted), folder / files.digest(wanted) / (name or "folder"))
    except FetchError as error:
        raise UserError(f"{setting} is {wanted}, which could not be read as a folder: {error}") from None


def _is_remote(wanted: str) -> bool:
    return "://" in wanted and not wanted.startswith("file://")


def _here(setting: str, wanted: str) -> Path:
    """The path, whether or not anything is there. UserError where nothing can be."""
    try:
        path = Path(wanted.removeprefix("file://")).expanduser()
        path.exists()
    except (RuntimeError, OSError) as error:  # of `~nobody`, and of names that are too long
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{setting} is {wanted:.200}, which is no path here ({reason}): name another") from None
    return path


def _numbered(setting: str, wanted: str) -> list[str]:
    """What shell braces make of it."""
    parts = NUMBERS.split(wanted)  # text, first, last, text, first, last, ..., text
    texts, ranges = parts[::3], list(zip(parts[1::3], parts[2::3], strict=True))
    counts = [int(last) - int(first) + 1 for first, last in ranges]
    if any(count < 1 for count in counts):
        raise UserError(f"{setting} is {wanted}: a range in braces goes from a smaller to a larger number")
    if math.prod(counts) > MOST:
        raise UserError(f"{setting} is {wanted}: its ranges in braces name more than {MOST:,} files: name fewer")
    numbers = [[f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1)] for first, last in ranges]
    return [
        texts[0] + "".join(number + text for number, text in zip(chosen, texts[1:], strict=True))
        for chosen in itertools.product(*numbers)
    ]


def _fetched(setting: str, address: str, folder: Path) -> list[Path]:
    try:
        if address.startswith(("http://", "https://")):
            return [fetch.fetch_unsigned((address,), folder)]
        # Each in a folder of its own, for files of several folders may have the same name.
        return [
            stores.copied(each, folder / files.digest([address, each.path]) / each.name)
            for each in stores.find(address)
        ]
    except FetchError as error:
        raise UserError(f"{setting} is {address}, which could not be read: {error}") from None
