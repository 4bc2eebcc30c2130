"""Members of tar archives from anywhere.

`tarfile` reads the headers, with what it lacks: it takes names, records and maps of any length into memory, keeps every
member with all of them, follows sizes backwards, and calls what is damaged the end.
"""

import io
import tarfile
from collections.abc import Iterator
from gzip import GzipFile
from typing import BinaryIO, NamedTuple

HEADERS = 1 << 20  # bytes of all headers of one member
RECORDS = 1000  # that hold for all members: tarfile copies them for each


class Member(NamedTuple):
    """What lies in an archive."""

    name: str
    offset: int  # of its bytes, in the file
    size: int
    folder: bool
    regular: bool  # a file, and no link, device, or file with holes
    whole: bool  # within the archive


def members(file: BinaryIO | GzipFile, start: int = 0, size: int | None = None) -> Iterator[Member]:
    """Of the archive in `size` bytes of the file, from `start` on, in its order. Raises tarfile.TarError, OSError."""
    held = _Slice(file, start, file.seek(0, io.SEEK_END) - start if size is None else size)
    try:
        with tarfile.open(fileobj=held, mode="r:") as tar:
            reached = -1
            while (member := tar.next()) is not None:
                if tar.offset <= reached:
                    raise tarfile.ReadError("a size leads backwards")
                if len(tar.pax_headers) > RECORDS:
                    raise tarfile.ReadError("too many records hold for all members")
                reached = tar.offset
                tar.members.clear()  # type: ignore[attr-defined]
                whole = 0 <= member.size <= held.size - member.offset_data
                regular = member.isreg() and not member.issparse()
                yield Member(member.name, start + member.offset_data, member.size, member.isdir(), regular, whole)
                held.left = HEADERS
            held.seek(tar.offset)
            if held.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise tarfile.ReadError("a header is damaged")
    except (tarfile.TarError, OSError):
        raise
    except Exception as error:  # hostile headers raise nearly anything: RecursionError, ValueError, IndexError, ...
        raise tarfile.ReadError(f"a header is odd: {type(error).__name__}") from None


class _Slice(io.RawIOBase):
    """Part of a file as a file of its own, of which no more than `left` bytes are read: of headers, then."""

    def __init__(self, file: BinaryIO | GzipFile, start: int, size: int) -> None:
        self._file, self._start, self.size, self._place, self.left = file, start, size, 0, HEADERS

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence])
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        rest = max(0, self.size - self._place)
        size = rest if size is None or size < 0 else min(size, rest)
        if size > self.left:
            raise tarfile.ReadError("its headers are too long")
        self._file.seek(self._start + min(self._place, self.size))
        data = self._file.read(size)
        self._place += len(data)
        self.left -= len(data)
        return data
