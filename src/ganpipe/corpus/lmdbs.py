"""Where the values of an LMDB lie: its tree of pages, in the order of its keys.

Not the library of that name: it maps the file and follows every number in it, and one altered byte ends the process.
The layout is that of LMDB's `mdb.c`, on a machine of 64 bits with the lower byte first.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAGIC, VERSION = 0xBEEFC0DE, 1
META = struct.Struct("<16x II 16x I44x 4xHH24xQQ QQ")  # magic, version; page; the main tree; last page, transaction
PAGE = struct.Struct("<10xHHH")  # flags, and where the places of its nodes and the free space end
NODE = struct.Struct("<HHHH")  # the lower and the upper half of a size, flags, bytes of the key
BRANCH, LEAF, OVERFLOW = 1, 2, 4  # flags of a page
ELSEWHERE = 1  # flag of a node: its value is on pages of its own
HEAD = 16  # bytes of a page before its contents
DEEPEST = 32  # levels of a tree, as in mdb.c
EMPTY = 2**64 - 1  # in place of a root


class Value(NamedTuple):
    """A key, and where its value lies in the file."""

    key: bytes
    offset: int
    length: int


class _Node(NamedTuple):
    """As a page holds it; of what it says in halves the lower one comes first."""

    low: int  # of a value's size in bytes; in a branch of a page's number
    high: int
    flags: int  # in a branch what comes above the two halves
    key: bytes
    place: int  # in the page, where the value begins


class _Tree(NamedTuple):
    page: int  # bytes
    entries: int
    root: int


def count(path: Path) -> int:
    """How many values there are. Raises ValueError with a reason, OSError."""
    with path.open("rb") as file:
        return _tree(file).entries


def values(path: Path) -> Iterator[Value]:
    """By key. Raises ValueError with a reason, OSError."""
    with path.open("rb") as file:
        tree, size = _tree(file), os.fstat(file.fileno()).st_size
        found = total = 0
        for value in _below(file, tree, size // tree.page):
            found, total = found + 1, total + value.length
            # Values share no bytes, so what holds more of them than the file has room for is made to.
            if value.offset + value.length > size or total > size or found > tree.entries:
                raise ValueError("its values do not fit into it")
            yield value
        if found != tree.entries:
            raise ValueError(f"it holds {found:,} values, where {tree.entries:,} are announced")


def _tree(file: BinaryIO) -> _Tree:
    """The main one, by the later of the two pages that name it."""
    file.seek(0)
    first = _meta(file.read(META.size))
    if first is None:
        raise ValueError("its head is not that of an LMDB")
    file.seek(first[0].page)
    second = _meta(file.read(META.size))
    return max([first, *([second] if second else [])], key=lambda meta: meta[1])[0]


def _meta(head: bytes) -> tuple[_Tree, int] | None:
    if len(head) < META.size:
        return None
    magic, version, page, flags, _, entries, root, _, transaction = META.unpack(head)
    if (magic, version, flags) != (MAGIC, VERSION, 0) or not 512 <= page <= 32768:
        return None
    return _Tree(page, entries, root), transaction


def _below(file: BinaryIO, tree: _Tree, pages: int) -> Iterator[Value]:
    """Each page is visited once: one that leads back is refused."""
    waiting = [] if tree.root == EMPTY else [(tree.root, 1)]
    while waiting:
        number, level = waiting.pop()
        pages -= 1
        if level > DEEPEST or pages < 0:
            raise ValueError("its pages lead in circles")
        start = number * tree.page
        flags, nodes = _nodes(file, start, tree.page)
        if flags == BRANCH:
            children = [node.low | node.high << 16 | node.flags << 32 for node in nodes]
            waiting += [(child, level + 1) for child in reversed(children)]
        elif flags == LEAF:
            yield from (_value(file, tree.page, start, node) for node in nodes)
        else:
            raise ValueError("a page is of another kind than its place asks for")


def _nodes(file: BinaryIO, start: int, size: int) -> tuple[int, list[_Node]]:
    """The flags and the nodes of the page at `start`."""
    page = _read(file, start, size)
    flags, lower, upper = PAGE.unpack_from(page)
    if not HEAD <= lower <= upper <= size:
        raise ValueError("a page is damaged")
    nodes = []
    for (place,) in struct.iter_unpack("<H", page[HEAD : lower - lower % 2]):
        if place + NODE.size > size:
            raise ValueError("a page is damaged")
        low, high, more, length = NODE.unpack_from(page, place)
        key = page[place + NODE.size : place + NODE.size + length]
        nodes.append(_Node(low, high, more, key, place + NODE.size + length))
    return flags, nodes


def _value(file: BinaryIO, page: int, start: int, node: _Node) -> Value:
    low, high, flags, key, place = node
    length = low | high << 16
    if flags not in (0, ELSEWHERE) or place + (8 if flags else length) > page:
        raise ValueError("a value is none of plain bytes, or damaged")
    if not flags:
        return Value(key, start + place, length)
    (number,) = struct.unpack("<Q", _read(file, start + place, 8))
    kind, *_ = PAGE.unpack(_read(file, number * page, HEAD))
    if kind != OVERFLOW:
        raise ValueError("a value is not where it should be")
    return Value(key, number * page + HEAD, length)


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    if start + size > os.fstat(file.fileno()).st_size:
        raise ValueError("it is cut short")
    file.seek(start)
    return file.read(size)
