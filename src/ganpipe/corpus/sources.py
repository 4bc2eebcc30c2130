"""Where image files lie: in a folder, in an archive, in WebDataset shards, in Parquet tables, in an LMDB.

Each is read as a sequence of entries, in an order that its contents determine. Bytes from outside stay bytes: nothing
is written under a name of theirs, links and devices are no images, and what unpacks to far too much is refused.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ganpipe.errors import UserError
from ganpipe.progress import Progress

MAX_FILE_BYTES = 512 << 20  # of one image file
MAX_RATIO, ALWAYS_ALLOWED = 100, 1 << 30  # times its size that an archive may unpack to, beyond so many bytes
MAX_ENTRIES = 50_000_000
ROWS = 256  # of a table read at a time
CHUNK = 1 << 20
IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "pgm", "jp2", "avif")


class Part(NamedTuple):
    """Bytes of a file: all from `offset` on where `length` is -1."""

    path: Path
    offset: int = 0
    length: int = -1


class Entry(NamedTuple):
    """What may be an image. Where it is known to be none, `data` is None and the reason says why."""

    name: str  # with forward slashes
    data: bytes | Part | None
    reason: str = ""
    label: int | None = None
    facts: Mapping[str, Any] = {}


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
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                members = [(each.filename, partial(_zipped, each)) for each in _safe_zip(path, packed)]
        else:
            plain = _decompressed(path, scratch)
            with tarfile.open(plain, "r:") as tar:
                members = [(name, partial(_tarred, plain, each)) for name, each in _members_within(path, plain, tar)]
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError) as error:
        raise UserError(f"{path} is no readable tar or zip archive ({error}): fetch it again") from None
    visible = {_plain(name): make for name, make in members if not _hidden(_plain(name))}
    top = {name.split("/")[0] for name in visible}
    strip = len(top) == 1 and all("/" in name for name in visible)
    named = {name.partition("/")[2] if strip else name: make for name, make in visible.items()}
    order = sorted(named)

    def entries() -> Iterator[Entry]:
        with zipfile.ZipFile(path) if zipfile.is_zipfile(path) else nullcontext() as packed:
            for name in order:
                yield named[name](name, packed)

    return Source(text(path.name), len(order), entries)


def _tarred(path: Path, member: tarfile.TarInfo, name: str, _: zipfile.ZipFile | None = None) -> Entry:
    if not member.isreg() or member.issparse():
        return Entry(name, None, "not a file")
    if member.size > MAX_FILE_BYTES:
        return Entry(name, None, "file over 512 MiB")
    return Entry(name, Part(path, member.offset_data, member.size))


def _zipped(member: zipfile.ZipInfo, name: str, packed: zipfile.ZipFile | None) -> Entry:
    if (member.external_attr >> 16) & 0o170000 not in (0, 0o100000):
        return Entry(name, None, "not a file")
    if member.file_size > MAX_FILE_BYTES:
        return Entry(name, None, "file over 512 MiB")
    assert packed is not None  # noqa: S101 (a zip archive's members are asked for with it)
    try:
        with packed.open(member) as file:
            data = file.read(member.file_size + 1)
    except NotImplementedError:  # a RuntimeError, too
        return Entry(name, None, "of an unknown compression")
    except RuntimeError:  # what zipfile raises for an encrypted member
        return Entry(name, None, "encrypted")
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError):  # bz2's is an OSError
        return Entry(name, None, "damaged in its archive")
    return Entry(name, data) if len(data) == member.file_size else Entry(name, None, "damaged in its archive")


def _safe_zip(path: Path, packed: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = [member for member in packed.infolist() if not member.is_dir()]
    _refuse_bomb(path, sum(member.file_size for member in members), len(members))
    return members


def _counted(path: Path, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for number, member in enumerate(tar):
        _refuse_bomb(path, 0, number)
        if not member.isdir():
            yield member


def _members_within(path: Path, plain: Path, tar: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """The members by name; for one that is a tar archive itself its members, with offsets within the outer file."""
    for member in _counted(path, tar):
        if not (member.isreg() and member.name.endswith(".tar")):
            yield member.name, member
            continue
        with plain.open("rb") as file, tarfile.open(fileobj=_Slice(file, member), mode="r:") as inner:
            for each in _counted(path, inner):
                each.offset_data += member.offset_data
                yield f"{member.name.removesuffix('.tar')}/{each.name}", each


class _Slice(io.RawIOBase):
    """A member's bytes as a file of their own."""

    def __init__(self, file: BinaryIO, member: tarfile.TarInfo) -> None:
        self._file, self._start, self._size, self._place = file, member.offset_data, member.size, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence])
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._place)
        self._file.seek(self._start + self._place)
        data = self._file.read(left if size is None or size < 0 else min(size, left))
        self._place += len(data)
        return data


def _refuse_bomb(path: Path, unpacked: int, entries: int) -> None:
    if unpacked > max(ALWAYS_ALLOWED, MAX_RATIO * path.stat().st_size):
        raise UserError(f"{path} unpacks to more than {MAX_RATIO} times its size, which images do not: it is refused")
    if entries > MAX_ENTRIES:
        raise UserError(f"{path} holds more than {MAX_ENTRIES:,} entries: it is refused")


def _decompressed(path: Path, scratch: Path) -> Path:
    """The tar archive itself, or what it unpacks to."""
    with path.open("rb") as file:
        head = file.read(6)
    modules = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ\x00": lzma}
    module = next((module for magic, module in modules.items() if head.startswith(magic)), None)
    if module is None:
        return path
    plain, size = scratch / f"{path.name}.tar", path.stat().st_size
    with (
        path.open("rb") as raw,
        module.open(raw) as packed,
        plain.open("wb") as to,
        Progress(f"unpacking {path.name}", size, "bytes") as progress,
    ):
        while chunk := packed.read(CHUNK):
            to.write(chunk)
            _refuse_bomb(path, to.tell(), 0)
            progress.advance(raw.tell() - progress.done)
    return plain


def webdataset(paths: Sequence[Path]) -> Source:
    """Images of WebDataset's shards, in their order: `key.jpg`, with `key.cls` and `key.json` where there are any."""
    shards = [(path, _members(path)) for path in paths]
    labels = {label for _, members in shards for _, label, _ in members if label is not None}

    def entries() -> Iterator[Entry]:
        for path, members in shards:
            for member, label, about in members:
                name = f"{path.stem}/{_plain(member.name)}"
                yield _tarred(path, member, name)._replace(label=label, facts=_facts(path, about))

    count = sum(len(members) for _, members in shards)
    return Source(text(paths[0].stem), count, entries, _numbers(labels, f"{paths[0]}"))


Member = tuple[tarfile.TarInfo, int | None, Part | None]


def _members(path: Path) -> list[Member]:
    """Of one shard, each image's member, label, and where its JSON lies."""
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, int] = {}
    facts: dict[str, Part] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in _counted(path, tar):
                key, _, extension = member.name.rpartition("/")[2].partition(".")
                key, extension = f"{member.name.rpartition('/')[0]}/{key}", extension.lower()
                if extension in IMAGES:
                    images[key] = member
                elif extension == "cls" and member.isreg() and member.size < 32:
                    labels[key] = int(_read(Part(path, member.offset_data, member.size)))
                elif extension == "json" and member.isreg() and member.size < CHUNK:
                    facts[key] = Part(path, member.offset_data, member.size)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise UserError(f"{path} is no readable WebDataset shard ({error}): name plain .tar files") from None
    if not images:
        raise UserError(f"{path} holds no images (such as key.jpg): is it a WebDataset shard?")
    return [(member, labels.get(key), facts.get(key)) for key, member in images.items()]


def _facts(path: Path, part: Part | None) -> dict[str, Any]:
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
    table has no such column.
    """
    tables = [(path, *_columns(path)) for path in paths]
    labels, names = set(), None
    for path, _, label, table in tables:
        if label is not None:
            names = names or _class_names(table, label)
            column = pq.read_table(path, columns=[label])[label]
            labels |= {value for value in column.unique().to_pylist() if value is not None}

    def entries() -> Iterator[Entry]:
        for path, image, label, _ in tables:
            with pq.ParquetFile(path) as file:
                row = 0
                for batch in file.iter_batches(ROWS):
                    for held in batch.to_pylist():
                        yield _row(f"{path.stem}/{row:09}", held, image, label)
                        row += 1

    classes = names if names and max(labels, default=0) < len(names) else _numbers(labels, f"{paths[0]}")
    return Source(text(paths[0].stem), sum(table.num_rows for *_, table in tables), entries, classes)


class _Table(NamedTuple):
    num_rows: int
    features: dict[str, Any]  # Hugging Face's


def _columns(path: Path) -> tuple[str, str | None, _Table]:
    """The names of the image's and the label's column, and what else is known of the table."""
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is no readable Parquet table ({str(error).splitlines()[0]})") from None
    images = [
        field.name
        for field in schema
        if pa.types.is_binary(field.type)
        or pa.types.is_large_binary(field.type)
        or (pa.types.is_struct(field.type) and "bytes" in [inner.name for inner in field.type])
    ]
    if not images:
        raise UserError(
            f"{path} has no column of images, bytes or a struct with bytes in it: {', '.join(schema.names)}"
        )
    label = next(
        (n for n in ("label", "labels") if n in schema.names and pa.types.is_integer(schema.field(n).type)), None
    )
    try:
        about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = about.get("info", {}).get("features", {})
    except (ValueError, AttributeError, RecursionError):
        features = {}
    return (
        "image" if "image" in images else images[0],
        label,
        _Table(rows, features if isinstance(features, dict) else {}),
    )


def _class_names(table: _Table, label: str) -> list[str] | None:
    names = (table.features.get(label) or {}).get("names")
    return [str(name) for name in names] if isinstance(names, list) else None


def _row(name: str, held: dict[str, Any], image: str, label: str | None) -> Entry:
    value = held.pop(image)
    number = held.pop(label) if label else None
    data = value.get("bytes") if isinstance(value, dict) else value
    facts = _plain_values(held)
    if isinstance(value, dict) and value.get("path"):
        facts["path"] = str(value["path"])
    if data is None:
        return Entry(name, None, "no bytes in the table", number, facts)
    if len(data) > MAX_FILE_BYTES:
        return Entry(name, None, "file over 512 MiB", number, facts)
    return Entry(name, data, "", number, facts)


def lmdb(path: Path, scratch: Path) -> Source:
    """The values of an LMDB, as LSUN's are, by key: `path` is its folder, the `data.mdb` in it, or a zip archive."""
    import lmdb as database

    if path.is_file() and zipfile.is_zipfile(path):
        path = _data_mdb(path, scratch)
    folder = path.parent if path.name == "data.mdb" else path

    def opened() -> Any:
        try:
            return database.open(str(folder), readonly=True, lock=False, readahead=False, create=False)
        except database.Error as error:
            raise UserError(f"{folder} is no readable LMDB ({error}): it is a folder with a data.mdb in it") from None

    def entries() -> Iterator[Entry]:
        with opened() as held, held.begin(buffers=True) as transaction:
            for key, value in transaction.cursor():
                name = bytes(key).decode("utf-8", "backslashreplace")
                large = len(value) > MAX_FILE_BYTES
                yield Entry(name, None, "file over 512 MiB") if large else Entry(name, bytes(value))

    with opened() as held:
        return Source(text(folder.name), held.stat()["entries"], entries, [])


def _data_mdb(path: Path, scratch: Path) -> Path:
    """The database in a zip archive, unpacked: it is read where it lies. UserError where there is none."""
    try:
        with zipfile.ZipFile(path) as packed:
            member = next((each for each in _safe_zip(path, packed) if each.filename.endswith("data.mdb")), None)
            if member is None:
                raise UserError(f"{path} holds no data.mdb: is it an LMDB?")
            with (
                packed.open(member) as file,
                (scratch / "data.mdb").open("wb") as to,
                Progress(f"unpacking {path.name}", member.file_size, "bytes") as progress,
            ):
                while chunk := file.read(CHUNK):
                    to.write(chunk)
                    progress.advance(len(chunk))
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} is no readable zip archive ({error}): fetch it again") from None
    return scratch / "data.mdb"


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


def read(data: bytes | Part) -> bytes:
    """The bytes."""
    return data if isinstance(data, bytes) else _read(data)


def data(entry: Entry) -> bytes:
    """An entry's bytes; none where it has none."""
    return b"" if entry.data is None else read(entry.data)


def text(name: str) -> str:
    """A file's name as text that any file can hold: bytes of it that are not UTF-8 are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()
