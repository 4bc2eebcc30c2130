"""Members of zip archives are those that zipfile unpacks, and none unpacks to more than it announces."""

import os
import zipfile
from pathlib import Path

import pytest
from corpus.hostile_archives import METHODS, lying, zipped

from ganpipe.corpus.zips import Member, members, pieces, read
from support.memory import traced

CONTENTS = {
    "a.png": os.urandom(1_200_000),
    "b/c.png": bytes(2_500_000),
    "b/nothing": b"",
    "é.png": (b"abc" * 1000 + os.urandom(1000)) * 200,
}
PLACE = Path("a.zip")


def found() -> dict[str, Member | str]:
    return dict(members(PLACE))


def member(data: bytes) -> Member:
    PLACE.write_bytes(data)
    (held,) = found().values()
    assert isinstance(held, Member)
    return held


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_the_bytes(method: int) -> None:
    PLACE.write_bytes(b"what stands before" + zipped({**CONTENTS, "folder/": b""}, method))
    assert {name: read(held) for name, held in found().items() if isinstance(held, Member)} == CONTENTS
    largest = max(len(piece) for held in found().values() if isinstance(held, Member) for piece in pieces(held))
    assert largest <= 1 << 20


@pytest.mark.parametrize("method", METHODS)
def test_no_more_is_unpacked_than_is_announced(method: int) -> None:
    held = member(lying(bytes(24 << 20), method, 1000))
    with traced() as memory, pytest.raises(zipfile.BadZipFile, match="has another checksum"):
        read(held)
    assert memory.peak < 4 << 20


@pytest.mark.parametrize("method", METHODS)
def test_less_than_is_announced_is_damage(method: int) -> None:
    data = b"some bytes, again and again " * 50
    with pytest.raises(zipfile.BadZipFile):
        read(member(lying(data, method, len(data) + 9)))
    whole = bytearray(zipped({"a": data}, method))
    whole[60] ^= 255
    with pytest.raises(zipfile.BadZipFile):
        read(member(bytes(whole)))


def test_a_header_that_is_not_there_is_damage() -> None:
    held = member(zipped({"a": b"x"}))
    for offset in (1, 10_000, -1, 2**70):
        with pytest.raises(zipfile.BadZipFile):
            read(held._replace(offset=offset))


def test_names_without_letters_are_read() -> None:
    PLACE.write_bytes(zipped({"x": b"1"}).replace(b"x", b"\0"))
    assert list(found()) == [""]
