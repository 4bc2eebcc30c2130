"""Members of tar archives are those that tarfile finds, and hostile headers end in a sentence, soon, in little room."""

import io
import tarfile

import pytest
from corpus.hostile_archives import END, PLAIN, SPARSE, extended, header, padded, record, tar

from ganpipe.corpus import tars
from ganpipe.corpus.tars import Member, members
from support.memory import traced

CONTENTS = {"a/1.png": b"x" * 700, "a/2.png": b"", "b.png": bytes(512)}


def found(data: bytes, start: int = 0, size: int | None = None) -> list[Member]:
    return list(members(io.BytesIO(data), start, size))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_are_where_they_are_said_to_be(form: int) -> None:
    contents = {**CONTENTS, "long/" * 60 + "name.png": b"y"}
    data = tar(contents, form) if form != tarfile.USTAR_FORMAT else tar(CONTENTS, form)
    held = found(data)
    assert {each.name: data[each.offset : each.offset + each.size] for each in held} == (
        contents if form != tarfile.USTAR_FORMAT else CONTENTS
    )
    assert all(each.regular and each.whole and not each.folder for each in held)
    inside = b"before" + data + b"behind"
    assert found(inside, 6, len(data)) == [each._replace(offset=each.offset + 6) for each in held]


def test_what_is_no_file_is_said_to_be_none() -> None:
    kinds = {b"1": "hard link", b"2": "link", b"3": "device", b"5": "folder", b"6": "pipe", b"S": "sparse"}
    for kind, name in kinds.items():
        (member, *_) = found(header(name.encode(), 0, kind, b"elsewhere") + END)
        assert (member.regular, member.folder) == (False, kind == b"5")


def test_a_member_that_is_larger_than_its_archive_is_not_whole() -> None:
    data = header(b"a.png", 2000) + bytes(1024)
    with pytest.raises(tarfile.ReadError, match="unexpected end of data"):
        found(data)
    for held, start, size in (
        (data, 0, None),
        (data + bytes(9999), 0, len(data)),
        (header(b"a.png", -1) + END, 0, None),
    ):
        assert not next(members(io.BytesIO(held), start, size)).whole


@pytest.mark.parametrize("size", [-512, -1024, -(2**40)])
def test_a_size_that_leads_backwards_ends_the_search(size: int) -> None:
    with pytest.raises(tarfile.ReadError, match=r"leads backwards|is damaged"):
        found(PLAIN + header(b"b.png", size) + PLAIN + END)


def test_damage_is_not_the_end() -> None:
    damaged = bytearray(PLAIN + PLAIN + END)
    damaged[len(PLAIN) + 3] ^= 1
    with pytest.raises(tarfile.ReadError, match="a header is damaged"):
        found(bytes(damaged))
    assert len(found(PLAIN + PLAIN)) == len(found(PLAIN + PLAIN + END + b"what is behind the end")) == 2


CHAIN = extended(record(b"comment", b"x"))
MAP = extended(b"".join(record(b"GNU.sparse." + key, value) for key, value in SPARSE.items()))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (header(b"x", 8 << 20, b"x") + bytes(8 << 20) + PLAIN, "its headers are too long"),
        (header(b"", 8 << 20, b"L") + b"n" * (8 << 20) + PLAIN, "its headers are too long"),
        (MAP + header(b"s.png", 1 << 20) + padded(b"99999999\n" + b"0\n" * (1 << 19)), "its headers are too long"),
        (CHAIN * 90 + PLAIN, "its headers are too long"),
        (extended(b"".join(record(b"k%d" % n, b"v") for n in range(5000)), b"g") + CHAIN + PLAIN, "too many records"),
    ],
    ids=["records", "name", "map", "chain", "records for all"],
)
def test_headers_that_are_attacks_are_refused_in_little_room(
    data: bytes, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars, "HEADERS", 1 << 16 if sentence.startswith("its") else 1 << 20)
    file = io.BytesIO(data + END)
    with traced() as memory, pytest.raises(tarfile.ReadError, match=sentence):
        list(members(file))
    assert memory.peak < 4 << 20


def test_headers_in_a_row_end_in_a_sentence() -> None:
    with pytest.raises(tarfile.ReadError, match="a header is odd: RecursionError"):
        found(extended(b"") * 900 + PLAIN + END)


def test_records_are_not_kept() -> None:
    """Of a thousand members, each with its copy of the records that hold for all."""
    records = extended(b"".join(record(b"k%d" % n, b"v" * 50) for n in range(900)), b"g")
    data = io.BytesIO(records + (CHAIN + PLAIN) * 1000 + END)
    with traced() as memory:
        assert sum(1 for _ in members(data)) == 1000
    assert memory.peak < 8 << 20
