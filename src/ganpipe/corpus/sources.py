"""Where image files lie: in a folder, in an archive, in WebDataset shards, in Parquet tables, in an LMDB.

Each is read as a sequence of entries, in an order that its contents determine. Bytes from outside stay bytes: nothing
is written under a name of theirs, links and devices are no images, and what unpacks to far too much is refused.
"""

import bz2
import gzip
import json
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from ganpipe.corpus import lmdbs, tables, tars, zips
from ganpipe.corpus.images import BrokenImage
from ganpipe.errors import FULL, UserError
from ganpipe.progress import Progress

MAX_FILE_BYTES = 400 << 20  # of one image file: pixels of more would not fit into memory beside it (bounds.ROOM)
TOO_LARGE, DAMAGED = "file over 400 MiB", "damaged in its archive"
MAX_RATIO, ALWAYS_ALLOWED = 100, 1 << 30  # times its size that an archive may unpack to, beyond so many bytes
LEAST_ENTRY, ALWAYS_HELD = 16, 100_000  # bytes of an archive that an entry takes, beyond so many entries
MAX_DICTIONARY = 256 << 20  # bytes that unpacking an xz archive may take
CHUNK = 1 << 20
# Names of images. JPEG 2000 is among them though nothing here decodes it: so it is set aside and counted.
IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "pgm", "jp2", "avif")


class Part(NamedTuple):
    """Bytes of a file: all from `offset` on where `length` is -1."""

    path: Path
    offset: int = 0
    length: int = -1


class Entry(NamedTuple):
    """What may be an image. Where it is known to be none, `data` is None and the reason says why."""

    name: str  # with forward slashes
    data: bytes | Part | zips.Member | None
    reason: str = ""
    label: int | None = None
    facts: Mapping[str, Any] = {}
    size: tuple[int, int] | None = None  # width and height, where it has been decoded already


class Source(NamedTuple):
    """Entries, to be read more than once, always in the same order."""

    title: str
    total: int
    entries: Callable[[], Iterator[Entry]]
    classes: Sequence[str] | None = None  # None where folders may be classes


def folder(root: Path) -> Source:
    """Every file below a folder, by name; hidden ones are left out."""
    names = sorted(walk(root))
    return Source(text(root.name), len(names), lambda: (_file(root.absolute(), name) for name in names))


def walk(root: Path) -> Iterator[str]:
    """Names of the files below `root`, with forward slashes; hidden ones are left out."""
    for here, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield (Path(here) / name).relative_to(root).as_posix()


def _file(root: Path, name: str) -> Entry:
    return Entry(name, Part(root / name))


def archive(path: Path, scratch: Path) -> Source:
    """Every file in a tar archive, compressed or not, or in a zip archive, by name, hidden ones left out.

    Tar archives in a tar archive, as ImageNet's training images are published, are like folders of their names. A
    folder that all files lie in is no part of theirs. A compressed tar archive is unpacked to one file in `scratch`,
    for entries are read where they lie. UserError where it is neither, or a bomb.
    """
    try:
        members = _zipped(path) if zipfile.is_zipfile(path) else _tarred(path, _unpacked(path, scratch))
        visible = {_plain(name): held for name, held in members if not _hidden(_plain(name))}
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError) as error:
        if getattr(error, "errno", None) in FULL:  # of the disk that it is unpacked to: the archive may be sound
            raise
        raise UserError(f"{path} is no readable tar or zip archive ({error}): fetch it again") from None
    top = {name.split("/")[0] for name in visible}
    strip = len(top) == 1 and all("/" in name for name in visible)
    named = {name.partition("/")[2] if strip else name: held for name, held in visible.items()}
    order = sorted(named)
    return Source(text(path.name), len(order), lambda: (_entry(name, named[name]) for name in order))


Held = Part | zips.Member | str  # where a member lies, or why it is of no use


def _entry(name: str, held: Held) -> Entry:
    return Entry(name, None, held) if isinstance(held, str) else Entry(name, held)


def _zipped(path: Path) -> Iterator[tuple[str, Held]]:
    size = entries = 0
    for name, held in zips.members(path.absolute()):
        size, entries = size + (0 if isinstance(held, str) else held.size), entries + 1
        _refuse_bomb(path, size, entries)
        yield name, TOO_LARGE if isinstance(held, zips.Member) and held.size > MAX_FILE_BYTES else held


def _tarred(path: Path, plain: Path) -> Iterator[tuple[str, Held]]:
    """The members by name; for one that is a tar archive itself its members, where they lie within the outer file."""
    entries = 0
    with plain.open("rb") as file:
        for name, member in _members_within(file):
            entries += 1
            _refuse_bomb(path, 0, entries)
            if not member.folder:
                yield name, _held(plain.absolute(), member)


def _members_within(file: BinaryIO) -> Iterator[tuple[str, tars.Member]]:
    for member in tars.members(file):
        if member.regular and member.whole and member.name.endswith(".tar"):
            for each in tars.members(file, member.offset, member.size):
                yield f"{member.name.removesuffix('.tar')}/{each.name}", each
        else:
            yield member.name, member


def _held(path: Path, member: tars.Member) -> Part | str:
    if not member.regular:
        return "not a file"
    if not member.whole:
        return DAMAGED
    return TOO_LARGE if member.size > MAX_FILE_BYTES else Part(path, member.offset, member.size)


def _refuse_bomb(path: Path, unpacked: int, entries: int) -> None:
    if unpacked <= ALWAYS_ALLOWED and entries <= ALWAYS_HELD:
        return
    size = path.stat().st_size
    if unpacked > max(ALWAYS_ALLOWED, MAX_RATIO * size):
        raise UserError(f"{path} unpacks to more than {MAX_RATIO} times its size, which images do not: it is refused")
    if entries > max(ALWAYS_HELD, size // LEAST_ENTRY):
        raise UserError(f"{path} holds more entries than images would fit into {size:,} bytes: it is refused")


def _unpacked(path: Path, scratch: Path) -> Path:
    """The tar archive itself, or what it unpacks to."""
    with path.open("rb") as file:
        head = file.read(6)
    forms: dict[bytes, Callable[[BinaryIO], Iterator[bytes]]] = {
        b"\x1f\x8b": lambda raw: _chunks(gzip.GzipFile(fileobj=raw)),
        b"BZh": lambda raw: _chunks(bz2.BZ2File(raw)),
        b"\xfd7zXZ\x00": _unxz,
    }
    unpack = next((unpack for magic, unpack in forms.items() if head.startswith(magic)), None)
    if unpack is None:
        return path
    plain, size = scratch / f"{path.name}.tar", path.stat().st_size
    with (
        path.open("rb") as raw,
        plain.open("wb") as to,
        Progress(f"unpacking {path.name}", size, "bytes") as progress,
    ):
        for chunk in unpack(raw):
            to.write(chunk)
            _refuse_bomb(path, to.tell(), 0)
            progress.advance(raw.tell() - progress.done)
    return plain


def _chunks(file: BinaryIO | gzip.GzipFile | bz2.BZ2File) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


def _unxz(file: BinaryIO) -> Iterator[bytes]:
    """Not by `lzma.open`, which takes as much memory as the file asks for, up to 4 GiB."""
    data = file.read(CHUNK)
    while data:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DICTIONARY)
        while not stream.eof:
            if not data and stream.needs_input:
                raise EOFError("it is cut short")
            yield stream.decompress(data, CHUNK)
            data = file.read(CHUNK) if stream.needs_input else b""
        data = stream.unused_data.lstrip(b"\0")  # zeros may stand between streams, and at the end
        while not data and (more := file.read(CHUNK)):
            data = more.lstrip(b"\0")


def webdataset(paths: Sequence[Path]) -> Source:
    """Images of WebDataset's shards, in their order: `key.jpg`, with `key.cls` and `key.json` where there are any."""
    shards = [(path, _members(path)) for path in paths]
    labels = {label for _, members in shards for *_, label, _ in members if label is not None}

    def entries() -> Iterator[Entry]:
        for path, members in shards:
            for name, held, label, about in members:
                yield _entry(f"{path.stem}/{_plain(name)}", held)._replace(label=label, facts=_facts(about))

    count = sum(len(members) for _, members in shards)
    return Source(text(paths[0].stem), count, entries, _numbers(labels, f"{paths[0]}"))


def _members(path: Path) -> list[tuple[str, Held, int | None, Part | None]]:
    """Of one shard, each image's name, where it and its JSON lie, and its label."""
    images: dict[str, tuple[str, Held]] = {}
    labels: dict[str, int] = {}
    facts: dict[str, Part] = {}
    try:
        with path.open("rb") as file:
            for member in tars.members(file):
                if member.folder:
                    continue
                key, _, extension = member.name.rpartition("/")[2].partition(".")
                key, extension = f"{member.name.rpartition('/')[0]}/{key}", extension.lower()
                held = _held(path.absolute(), member)
                if extension in IMAGES:
                    images[key] = member.name, held
                elif extension == "cls" and isinstance(held, Part) and held.length < 32:
                    labels[key] = int(_read(held))
                elif extension == "json" and isinstance(held, Part) and held.length < CHUNK:
                    facts[key] = held
    except (tarfile.TarError, ValueError, OSError) as error:
        raise UserError(f"{path} is no readable WebDataset shard ({error}): name plain .tar files") from None
    if not images:
        raise UserError(f"{path} holds no images (such as key.jpg): is it a WebDataset shard?")
    return [(name, held, labels.get(key), facts.get(key)) for key, (name, held) in images.items()]


def _facts(part: Part | None) -> dict[str, Any]:
    """The plain values of an image's JSON."""
    if part is None:
        return {}
    try:
        held = json.loads(_read(part))
    except (ValueError, RecursionError):
        return {}
    return _plain_values(held) if isinstance(held, dict) else {}


def parquet(paths: Sequence[Path]) -> Source:
    """Images of tables in Hugging Face's convention: a column `image` of bytes, or of a struct with `bytes` in it.

    A column `label` of whole numbers are the labels; what other columns hold is kept with each image. UserError where a
    table has no such column, or, while it is read, is found to be damaged or to unpack to far too much.
    """
    held = [_held_in(tables.look(path)) for path in paths]
    labels = {label for each in held if each.label is not None for label in tables.extremes(each.table, each.label)}
    names = next((each.names for each in held if each.names), [])

    def entries() -> Iterator[Entry]:
        for each in held:
            path, unpacked = each.table.path, 0
            for number, row in enumerate(tables.rows(each.table, each.columns)):
                entry = _row(f"{path.stem}/{number:09}", row, each)
                unpacked += len(entry.data) if isinstance(entry.data, bytes) else 0
                _refuse_bomb(path, unpacked, 0)
                yield entry

    classes = names if names and max(labels, default=0) < len(names) else _numbers(labels, f"{paths[0]}")
    return Source(text(paths[0].stem), sum(each.table.rows for each in held), entries, classes)


class _Held(NamedTuple):
    """Where in a table images are."""

    table: tables.Table
    columns: list[str]  # to be read
    image: str
    label: str | None
    names: list[str]  # of the classes, where they have any


def _held_in(table: tables.Table) -> _Held:
    images = [name for name, kind in table.types.items() if tables.holds_bytes(kind)]
    if not images:
        known = ", ".join(table.types)
        raise UserError(f"{table.path} has no column of images, bytes or a struct with bytes in it: {known:.200}")
    image = "image" if "image" in images else images[0]
    columns = [name for name, kind in table.types.items() if name == image or tables.is_plain(kind)]
    numbered = (name for name in ("label", "labels") if name in columns and tables.is_whole(table.types[name]))
    label = next(numbered, None)
    described = _features(table.metadata).get(label or "")
    names = described.get("names") if isinstance(described, dict) else None
    return _Held(table, columns, image, label, [text(str(name)) for name in names] if isinstance(names, list) else [])


def _features(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Hugging Face's, of each column."""
    try:
        found = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _row(name: str, row: dict[str, Any], held: _Held) -> Entry:
    value = row.pop(held.image)
    number = row.pop(held.label) if held.label else None
    data = value.get("bytes") if isinstance(value, dict) else value
    facts = _plain_values(row)
    if isinstance(value, dict) and value.get("path"):
        facts["path"] = str(value["path"])
    if data is None:
        return Entry(name, None, "no bytes in the table", number, facts)
    if len(data) > MAX_FILE_BYTES:
        return Entry(name, None, TOO_LARGE, number, facts)
    return Entry(name, data, "", number, facts)


def lmdb(path: Path, scratch: Path) -> Source:
    """The values of an LMDB, as LSUN's are, by key: `path` is its folder, the `data.mdb` in it, or a zip archive."""
    if path.is_file() and zipfile.is_zipfile(path):
        path = _data_mdb(path, scratch)
    folder = path.parent if path.name == "data.mdb" else path
    file = path / "data.mdb" if path.is_dir() else path
    try:
        total = lmdbs.count(file)
    except (ValueError, OSError) as error:
        raise UserError(f"{folder} is no readable LMDB ({error}): it is a folder with a data.mdb in it") from None
    _refuse_bomb(file, 0, total)

    def entries() -> Iterator[Entry]:
        try:
            for key, offset, length in lmdbs.values(file):
                name = key.decode("utf-8", "backslashreplace")
                yield _entry(name, TOO_LARGE if length > MAX_FILE_BYTES else Part(file.absolute(), offset, length))
        except ValueError as error:
            raise UserError(f"{folder} is a damaged LMDB ({error}): fetch it again") from None

    return Source(text(folder.name), total, entries, [])


def _data_mdb(path: Path, scratch: Path) -> Path:
    """The database in a zip archive, unpacked: it is read where it lies. UserError where there is none."""
    to = scratch / "data.mdb"
    try:
        member = next((held for name, held in zips.members(path) if name.endswith("data.mdb")), None)
        if not isinstance(member, zips.Member):
            raise UserError(f"{path} holds no data.mdb: is it an LMDB?")
        _refuse_bomb(path, member.size, 1)
        with to.open("wb") as file, Progress(f"unpacking {path.name}", member.size, "bytes") as progress:
            for piece in zips.pieces(member):
                file.write(piece)
                progress.advance(len(piece))
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is no readable zip archive ({error}): fetch it again") from None
    return to


def _plain_values(held: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in held.items() if isinstance(value, str | int | float | bool | None)}


def _numbers(labels: set[int], where: str) -> list[str]:
    """Classes that are known by numbers only."""
    if labels and (min(labels) < 0 or max(labels) >= 1 << 20):
        raise UserError(f"the labels of {where} are not class numbers: they go from {min(labels)} to {max(labels)}")
    return [str(number) for number in range(max(labels) + 1)] if labels else []


def _plain(name: str) -> str:
    """A member's name without what leads out of the archive, or nowhere."""
    return "/".join(part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..", "."))


def _hidden(name: str) -> bool:
    return not name or any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _read(part: Part) -> bytes:
    with part.path.open("rb") as file:
        file.seek(part.offset)
        return file.read(part.length)


def read(data: bytes | Part | zips.Member) -> bytes:
    """The bytes. Raises BrokenImage where an archive holds others than it announces."""
    if isinstance(data, zips.Member):
        try:
            return zips.read(data)
        except zipfile.BadZipFile:
            raise BrokenImage(DAMAGED) from None
    return data if isinstance(data, bytes) else _read(data)


def data(entry: Entry) -> bytes:
    """An entry's bytes; none where it has none."""
    try:
        return b"" if entry.data is None else read(entry.data)
    except BrokenImage:
        return b""


def text(name: str) -> str:
    """A file's name as text that any file can hold: bytes of it that are not UTF-8 are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()
