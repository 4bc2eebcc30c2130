"""MATLAB's level-5 files, as far as plain arrays of numbers go.

Not `scipy.io.loadmat`: one altered byte in a tag makes that read outside its tables, and the interpreter dies.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from itertools import islice

import numpy as np

HEAD, MAGIC = 128, b"\0\1IM"  # of a little-endian file of level 5
DIMENSIONS = 4 * 32  # bytes of the dimensions, at most
TAG = struct.Struct("<II")
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
STORED = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
NUMBERS = range(6, 16)  # the classes double to uint64; before them cells, structs, objects, text and sparse arrays


def read_arrays(data: bytes, names: tuple[str, ...], limit: int) -> dict[str, np.ndarray]:
    """The arrays of a file that holds exactly those, of the type that they are stored in.

    No more than `limit` bytes are inflated, and none copied. Raises ValueError with a reason.
    """
    if data[HEAD - len(MAGIC) : HEAD] != MAGIC:
        raise ValueError("its head is not that of a MATLAB 5 file")
    arrays: dict[str, np.ndarray] = {}
    for element in _elements(memoryview(data)[HEAD:]):
        found = [element]
        if element[0] == COMPRESSED:
            inflated = _inflate(element[1], limit)
            limit -= len(inflated)
            found = list(islice(_elements(inflated), 2))
        if [kind for kind, _ in found] != [MATRIX]:
            raise ValueError("it holds other things than arrays")
        name, array = _array(found[0][1])
        if name not in names or name in arrays:
            raise ValueError(f"its arrays are not {' and '.join(names)}, each once")
        arrays[name] = array
    if len(arrays) < len(names):
        raise ValueError(f"it lacks {' and '.join(name for name in names if name not in arrays)}")
    return arrays


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Type and contents of each element; those of up to four bytes lie in their tag."""
    at = 0
    while at < len(data):
        if len(data) - at < TAG.size:
            raise ValueError("it is cut short")
        kind, length = TAG.unpack_from(data, at)
        if small := kind >> 16:
            kind, length = kind & 0xFFFF, small
        start, room = (at + 4, 4) if small else (at + TAG.size, len(data) - at - TAG.size)
        if length > room:
            raise ValueError("an element is longer than its place")
        yield kind, data[start : start + length]
        at = at + TAG.size if small else start + length + (0 if kind == COMPRESSED else -length % 8)


def _inflate(data: memoryview, limit: int) -> memoryview:
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from None
    if len(plain) > limit:
        raise ValueError("it inflates to more than the published arrays")
    if not stream.eof:
        raise ValueError("it is cut short")
    return memoryview(plain)


def _array(data: memoryview) -> tuple[str, np.ndarray]:
    """Flags, dimensions, name and numbers."""
    parts = list(islice(_elements(data), 5))
    if (
        [kind for kind, _ in parts[:3]] != [UINT32, INT32, INT8]
        or len(parts[0][1]) != 8
        or len(parts[1][1]) > DIMENSIONS
    ):
        raise ValueError("an array lacks its head")
    flags = int.from_bytes(parts[0][1][:2], "little")  # the class; above it complex, global, logical
    if flags not in NUMBERS or len(parts) != 4 or parts[3][0] not in STORED:
        raise ValueError("an array is not one of plain numbers")
    shape = np.frombuffer(parts[1][1], "<i4").tolist()
    numbers = np.frombuffer(parts[3][1], STORED[parts[3][0]])
    if min(shape, default=0) < 0 or math.prod(shape) != len(numbers):
        raise ValueError(f"an array of {len(numbers):,} numbers has other dimensions")
    return str(parts[2][1], "latin-1"), numbers.reshape(shape, order="F")
