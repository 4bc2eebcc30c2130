"""What scipy writes is read as scipy reads it; whatever else comes is refused by a ValueError, at no great cost."""

import io
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
import scipy.io
from corpus.mat import mat
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ganpipe.corpus.matlab import HEAD, read_arrays

LIMIT = 1 << 20
A = {"X": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "y": np.array([[1.5], [2.5]])}
FORMS = [mat(A, compressed) for compressed in (True, False)]
both_forms = pytest.mark.parametrize("data", FORMS, ids=["compressed", "plain"])


def refuse(data: bytes, match: str, limit: int = LIMIT) -> None:
    with pytest.raises(ValueError, match=match):
        read_arrays(data, ("X", "y"), limit)


def element(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def array(
    name: bytes = b"X", flags: int = 9, shape: tuple[int, ...] = (2, 3), kind: int = 2, body: bytes = b"abcdef"
) -> bytes:
    head = element(6, struct.pack("<II", flags, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, name) + element(kind, body))


def file(*elements: bytes) -> bytes:
    return FORMS[0][:HEAD] + b"".join(elements)


def packed(plain: bytes) -> bytes:
    data = zlib.compress(plain)
    return struct.pack("<II", 15, len(data)) + data


numbers = (
    arrays.integer_dtypes(endianness="<") | arrays.unsigned_integer_dtypes(endianness="<") | st.just(np.dtype("<f8"))
)


@settings(deadline=None)
@given(
    arrays.arrays(numbers, arrays.array_shapes(min_dims=2, max_dims=4)), arrays.arrays(np.uint8, (3, 1)), st.booleans()
)
def test_what_scipy_writes_is_read_as_scipy_reads_it(x: np.ndarray, y: np.ndarray, compressed: bool) -> None:
    data = mat({"X": x, "y": y}, compressed)
    found, theirs = read_arrays(data, ("X", "y"), LIMIT), scipy.io.loadmat(io.BytesIO(data))
    for name in ("X", "y"):
        assert found[name].dtype == theirs[name].dtype
        np.testing.assert_array_equal(found[name], theirs[name])


def test_an_array_by_the_letter_of_the_format_is_read() -> None:
    for elements in ((array(), array(b"y")), (packed(array()), packed(array(b"y")))):
        found = read_arrays(file(*elements), ("X", "y"), LIMIT)
        assert found["X"].tolist() == [[97, 99, 101], [98, 100, 102]]


@both_forms
def test_no_bytes_are_missed(data: bytes) -> None:
    for size in range(len(data) - 7):  # of the last element the padding may lack
        refuse(data[:size], "cut short|its head|it lacks|longer than its place|an array")


OTHERS: dict[str, tuple[Any, str]] = {
    "objects": (np.array([[1, "a"], [3, 2.5]], object), "not one of plain numbers"),
    "struct": ({"a": 1}, "not one of plain numbers"),
    "text": ("hello", "not one of plain numbers"),
    "complex": (np.ones((2, 2)) * 1j, "not one of plain numbers"),
    "logical": (np.ones((2, 2), bool), "not one of plain numbers"),
    "sparse": (scipy.sparse.csc_array(np.eye(3)), "not one of plain numbers"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("compressed", [True, False])
def test_what_is_no_array_of_numbers_is_refused(kind: str, compressed: bool) -> None:
    value, match = OTHERS[kind]
    refuse(mat({**A, "X": value}, compressed), match)


def test_other_names_are_refused() -> None:
    refuse(mat({"X": A["X"]}), "it lacks y")
    refuse(mat({**A, "z": A["y"]}), "its arrays are not X and y, each once")
    refuse(file(array(), array()), "its arrays are not X and y, each once")


@pytest.mark.parametrize(
    ("elements", "match"),
    [
        ((array(shape=(2, 4)),), "an array of 6 numbers has other dimensions"),
        ((array(shape=(-2, -3)),), "other dimensions"),
        ((array(shape=(1 << 30,) * 4),), "other dimensions"),
        ((array(shape=(0, 1 << 30)),), "other dimensions"),
        ((array(shape=(1,) * 33),), "lacks its head"),
        ((array(kind=8),), "plain numbers"),  # a type between the defined ones
        ((array(kind=60_000),), "plain numbers"),
        ((array(kind=9),), "buffer size"),
        ((element(2, b"abcdefgh"),), "other things than arrays"),
        ((packed(packed(array())),), "other things than arrays"),
        ((packed(array() + array()),), "other things than arrays"),
        ((packed(b""),), "other things than arrays"),
        ((element(15, b"no zlib!"),), "it is damaged"),
        ((struct.pack("<II", 14, 0xFFFFFFFF),), "longer than its place"),
        ((struct.pack("<HHI", 14, 5, 0),), "longer than its place"),
        ((b"abc",), "cut short"),
        ((element(14, b""),), "lacks its head"),
    ],
)
def test_nonsense_gets_a_reason(elements: tuple[bytes, ...], match: str) -> None:
    refuse(file(*elements), match)


def test_other_heads_are_refused() -> None:
    for head in (b"", b"MATLAB 7.3", FORMS[0][: HEAD - 4] + b"\1\0MI", b"<html>" + bytes(200)):
        refuse(head, "its head is not that of a MATLAB 5 file")


def test_a_bomb_is_not_inflated() -> None:
    bomb = file(packed(array(shape=(1 << 26, 1), body=bytes(1 << 26))))
    assert len(bomb) < LIMIT
    tracemalloc.start()
    refuse(bomb, "inflates to more than the published arrays")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * LIMIT


def test_the_limit_is_of_all_arrays_together() -> None:
    large = {"shape": (LIMIT * 3 // 4, 1), "body": bytes(LIMIT * 3 // 4)}
    refuse(file(packed(array(b"X", **large)), packed(array(b"y", **large))), "inflates to more")  # type: ignore[arg-type]


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(FORMS) | st.just(file(packed(array()), packed(array(b"y")))),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=3),
    st.just(1.0) | st.floats(0, 1),
    st.booleans(),
)
def test_damaged_files_are_read_or_refused(
    data: bytes, patches: list[tuple[float, bytes]], kept: float, within: bool
) -> None:
    """`within`: the damage is done before the array is packed, and no checksum tells."""
    damaged = bytearray(mat(A, False)[HEAD:] if within else data)
    for share, patch in patches:
        start = int(share * len(damaged))
        damaged[start : start + len(patch)] = patch
    cut = bytes(damaged[: int(kept * len(damaged))])
    try:
        found = read_arrays(file(packed(cut)) if within else cut, ("X", "y"), LIMIT)
    except ValueError as error:
        assert str(error)
    else:
        assert set(found) == {"X", "y"}
        assert sum(each.nbytes for each in found.values()) < 2 * len(data)
