"""Hostile inputs for the first stage, the same from run to run: valid files, these altered, and bombs made by hand.

    inputs(10_000)

What each looks like is said in `hostile_images`, `hostile_archives`, `hostile_tables` and `hostile_hosts`.
"""

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

BATCH = 4  # images in each of CIFAR-10's files, in place of 10,000
ODD = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]


class Input(NamedTuple):
    """A file from outside. `images` of it, where that is known, come through."""

    kind: str  # by which `hostile_run` knows what to do with it
    name: str
    data: bytes
    images: int | None = None


def altered(valid: Sequence[bytes], rng: random.Random) -> bytes:
    """One of them, with one to three things done to it that an attacker would do."""
    data = rng.choice(valid)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(ALTERATIONS)(data, valid, rng)
    return data


def _flip_bits(data: bytes, valid: Sequence[bytes], rng: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if made:
            made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def _flip_head(data: bytes, valid: Sequence[bytes], rng: random.Random) -> bytes:
    """Sizes, offsets and depths stand in the first bytes."""
    return _flip_bits(data[:64], valid, rng) + data[64:]


def _odd_number(data: bytes, valid: Sequence[bytes], rng: random.Random) -> bytes:
    """In the place of two, four or eight bytes, in either order."""
    size = rng.choice((1, 2, 4, 4, 8))
    number = rng.choice(ODD) % 2 ** (8 * size)
    place = rng.randrange(max(1, rng.choice((64, len(data)))))
    return data[:place] + number.to_bytes(size, rng.choice(("big", "little"))) + data[place + size :]


def _cut(data: bytes, valid: Sequence[bytes], rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _splice(data: bytes, valid: Sequence[bytes], rng: random.Random) -> bytes:
    """The beginning of this and the end of another."""
    other = rng.choice(valid)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _repeat(data: bytes, valid: Sequence[bytes], rng: random.Random) -> bytes:
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:last] + data[first:last] * rng.choice((1, 1, 2, 20)) + data[last:]


def _reorder(data: bytes, valid: Sequence[bytes], rng: random.Random) -> bytes:
    a, b, c = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _blank(data: bytes, valid: Sequence[bytes], rng: random.Random) -> bytes:
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:first] + rng.choice((b"\0", b"\xff")) * (last - first) + data[last:]


def _append(data: bytes, valid: Sequence[bytes], rng: random.Random) -> bytes:
    return data + rng.choice((rng.randbytes(rng.randrange(2000)), rng.choice(valid), bytes(1 << 16)))


Alteration = Callable[[bytes, Sequence[bytes], random.Random], bytes]
ALTERATIONS: tuple[Alteration, ...] = (
    *(_flip_bits, _flip_bits, _flip_head, _flip_head, _odd_number, _odd_number, _odd_number),
    *(_cut, _splice, _repeat, _reorder, _blank, _append),
)


class Kind(NamedTuple):
    """Of inputs: a share of all, those made by hand, and how others are altered."""

    name: str
    share: float
    made: Callable[[], Iterator[Input]]
    alter: Callable[[random.Random], bytes]


def inputs(count: int) -> Iterator[Input]:
    """So many of them, or a few more, each kind with its share: what is valid and the bombs, then what is altered."""
    from corpus import hostile_archives, hostile_hosts, hostile_images, hostile_tables

    for kind in (*hostile_images.KINDS, *hostile_archives.KINDS, *hostile_tables.KINDS, *hostile_hosts.KINDS):
        yielded = 0
        for each in kind.made():
            yield each._replace(kind=kind.name)
            yielded += 1
        for seed in range(round(kind.share * count) - yielded):
            yield Input(kind.name, f"altered {seed}", kind.alter(random.Random(f"{kind.name} {seed}")))


def numbers(form: str, *values: int) -> bytes:
    """Shorthand."""
    return struct.pack(form, *values)
