"""Values of an LMDB lie where its own library finds them, and no altered byte ends in more than a sentence."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.corpus.lmdbs import count, values

PLACE = Path("held/data.mdb")


def written(contents: dict[bytes, bytes], removed: list[bytes] | None = None) -> bytes:
    PLACE.unlink(missing_ok=True)
    with lmdb.open("held", map_size=1 << 28) as held:
        keys = list(contents)
        for part in range(3):  # pages of an earlier state are used again
            with held.begin(write=True) as transaction:
                for key in keys[part::3]:
                    transaction.put(key, contents[key])
        with held.begin(write=True) as transaction:
            for key in removed or []:
                transaction.delete(key)
    return PLACE.read_bytes()


def found(data: bytes) -> dict[bytes, bytes]:
    return {key: data[offset : offset + length] for key, offset, length in values(PLACE)}


@pytest.mark.parametrize(("number", "size"), [(0, 0), (1, 10), (3, 5000), (5000, 30), (300, 9000)])
def test_values_are_where_the_library_finds_them(number: int, size: int) -> None:
    rng = random.Random(number)
    contents = {b"%09d" % rng.randrange(10**9): os.urandom(rng.randrange(size + 1)) for _ in range(number)}
    removed = list(contents)[::4] if number > 1 else []
    data = written(contents, removed)
    kept = {key: contents[key] for key in sorted(set(contents) - set(removed))}
    assert found(data) == kept
    assert list(found(data)) == list(kept)
    assert count(PLACE) == len(kept)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    here = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("lmdb"))
    yield written({b"%05d" % number: bytes(number % 90) * (90 if number % 30 == 0 else 1) for number in range(400)})
    os.chdir(here)


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4), st.floats(0.2, 1))
def test_damage_gets_a_reason(whole: bytes, places: list[tuple[float, int]], kept: float) -> None:
    data = bytearray(whole)
    for share, value in places:
        data[int(share * len(data))] = value
    PLACE.parent.mkdir(exist_ok=True)
    PLACE.write_bytes(data[: int(kept * len(data))])
    try:
        held = list(values(PLACE))
    except ValueError as error:
        assert str(error)
    else:
        assert sum(length for *_, length in held) <= len(data)
        assert len(held) == count(PLACE)


def changed(whole: bytes, place: int, value: bytes) -> None:
    PLACE.parent.mkdir(exist_ok=True)
    PLACE.write_bytes(whole[:place] + value + whole[place + len(value) :])


def test_a_page_that_leads_back_is_refused(whole: bytes) -> None:
    page = int.from_bytes(whole[40:44], "little")
    branches = [n for n in range(2, len(whole) // page) if whole[n * page + 10] == 1]
    top = branches[-1]
    node = top * page + int.from_bytes(whole[top * page + 16 : top * page + 18], "little")
    changed(whole, node, top.to_bytes(2, "little"))
    with pytest.raises(ValueError, match="lead in circles"):
        list(values(PLACE))


def test_values_that_share_their_bytes_are_refused(whole: bytes) -> None:
    """Nodes that all lead to one value would fill a disk."""
    page = int.from_bytes(whole[40:44], "little")
    made = bytearray(whole)
    for start in range(2 * page, len(whole), page):
        if made[start + 10] == 2:  # a leaf
            lower = int.from_bytes(made[start + 12 : start + 14], "little")
            places = range(start + 16, start + lower, 2)
            nodes = [int.from_bytes(made[place : place + 2], "little") for place in places]
            elsewhere = [node for node in nodes if made[start + node + 4] == 1]
            for place in places if elsewhere else ():
                made[place : place + 2] = elsewhere[0].to_bytes(2, "little")
    changed(bytes(made), 0, b"")
    with pytest.raises(ValueError, match="its values do not fit into it"):
        list(values(PLACE))


@pytest.mark.parametrize("data", [b"", b"no database" * 1000, bytes(100_000)], ids=["nothing", "text", "zeros"])
def test_what_is_no_database_is_called_so(data: bytes) -> None:
    PLACE.parent.mkdir(exist_ok=True)
    PLACE.write_bytes(data)
    with pytest.raises(ValueError, match="its head is not that of an LMDB"):
        count(PLACE)
