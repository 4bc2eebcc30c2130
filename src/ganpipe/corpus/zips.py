"""Members of zip archives from anywhere, each unpacked by itself, by whichever process needs it.

`zipfile` lists them, and does not unpack them: of bzip2 it makes gigabytes of some kilobytes before it asks for a size.
"""

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

CHUNK = 1 << 20
LOCAL = struct.Struct("<4s22xHH")  # of a member's own header: its mark, and the lengths of a name and of extra fields
STORED, DEFLATED, BZIP2, LZMA = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA
ENCRYPTED = 1  # of the flags


class Member(NamedTuple):
    """A file in an archive."""

    path: Path
    offset: int  # of its header
    packed: int  # bytes
    size: int  # bytes
    method: int
    crc: int


def members(path: Path) -> Iterator[tuple[str, Member | str]]:
    """The names of what is no folder, and where it lies, or why it is of no use. Raises zipfile.BadZipFile, OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (NotImplementedError, ValueError, struct.error) as error:
        raise zipfile.BadZipFile(str(error)) from None
    for info in infos:
        if info.filename.endswith("/"):
            continue
        if (info.external_attr >> 16) & 0o170000 not in (0, 0o100000):
            yield info.filename, "not a file"
        elif info.flag_bits & ENCRYPTED:
            yield info.filename, "encrypted"
        elif info.compress_type not in (STORED, DEFLATED, BZIP2, LZMA):
            yield info.filename, "of an unknown compression"
        else:
            yield (
                info.filename,
                Member(path, info.header_offset, info.compress_size, info.file_size, info.compress_type, info.CRC),
            )


def read(member: Member) -> bytes:
    """Its bytes. Raises zipfile.BadZipFile where they are not those that the archive announces."""
    return b"".join(pieces(member))


def pieces(member: Member) -> Iterator[bytes]:
    """`read`, in pieces of up to a megabyte."""
    done = crc = 0
    try:
        with member.path.open("rb") as file:
            file.seek(member.offset)
            mark, name, extra = LOCAL.unpack(file.read(LOCAL.size))
            if mark != b"PK\x03\x04":
                raise zipfile.BadZipFile("a header is not where it should be")
            start = file.seek(name + extra, io.SEEK_CUR)
            unpacker = _unpacker(member, file)
            left = member.packed - (file.tell() - start)
            while done < member.size:
                data = file.read(min(CHUNK, max(0, left))) if unpacker.needs_input else b""
                left -= len(data)
                piece = unpacker.decompress(data, min(CHUNK, member.size - done))
                if not piece and not data:
                    raise zipfile.BadZipFile("a member is cut short")
                done, crc = done + len(piece), zlib.crc32(piece, crc)
                yield piece
    except (struct.error, zlib.error, lzma.LZMAError, EOFError, ValueError, OverflowError, OSError) as error:
        raise zipfile.BadZipFile(f"a member is damaged: {error}") from None
    if crc != member.crc:
        raise zipfile.BadZipFile("a member has another checksum")


class _Unpacker(Protocol):
    """As those of bz2 and lzma are: no more at a time than is asked for."""

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Stored:
    def __init__(self) -> None:
        self._rest = b""

    @property
    def needs_input(self) -> bool:
        return not self._rest

    def decompress(self, data: bytes, max_length: int) -> bytes:
        data = self._rest + data
        self._rest = data[max_length:]
        return data[:max_length]


class _Deflated:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, max_length)


def _unpacker(member: Member, file: BinaryIO) -> _Unpacker:
    if member.method == STORED:
        return _Stored()
    if member.method == DEFLATED:
        return _Deflated()
    if member.method == BZIP2:
        return bz2.BZ2Decompressor()
    size, properties, dictionary = struct.unpack("<2xHBI", file.read(9))
    if size != 5:
        raise zipfile.BadZipFile("a member is no LZMA stream")
    positions, literal_context = divmod(properties, 9)
    position, literal_position = divmod(positions, 5)
    needed = max(4096, min(dictionary, member.size))  # one that announces gigabytes would get them
    form = {"lc": literal_context, "lp": literal_position, "pb": position, "dict_size": needed}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, **form}])
