import numpy as np
import pytest
from dedupe.codes import apart, skewed_codes
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.dedupe import hamming
from ganpipe.dedupe.hamming import pairs_within


def brute_force(codes: np.ndarray, radius: int) -> list[tuple[int, int, int]]:
    distance = apart(codes)
    upper = zip(*np.triu_indices(len(codes), 1), strict=True)
    return [(int(i), int(j), int(distance[i, j])) for i, j in upper if distance[i, j] <= radius]


def found(codes: np.ndarray, radius: int) -> list[tuple[int, int, int]]:
    i, j, distance = pairs_within(codes, radius)
    assert [part.dtype.name for part in (i, j, distance)] == ["int64", "int64", "uint16"]
    return list(zip(i.tolist(), j.tolist(), distance.tolist(), strict=True))


@given(skewed_codes(), st.integers(0, 9))
def test_finds_the_pairs_of_brute_force_once_each_in_order(codes: np.ndarray, radius: int) -> None:
    # The brute force lists by i, then j, with i < j: equality of lists is also order and uniqueness.
    assert found(codes, radius) == brute_force(codes, radius)


@given(skewed_codes(), st.integers(0, 9), st.integers(1, 40))
def test_chunks_do_not_show(codes: np.ndarray, radius: int, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "CHUNK", chunk)
        assert found(codes, radius) == brute_force(codes, radius)


@pytest.mark.parametrize("radius", [8, 9, 20])
def test_a_radius_of_all_bits_gives_every_pair(radius: int) -> None:
    codes = np.array([[0x00], [0xFF], [0x0F], [0xFF]], np.uint8)
    assert found(codes, radius) == [(0, 1, 8), (0, 2, 4), (0, 3, 8), (1, 2, 4), (1, 3, 0), (2, 3, 4)]


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_codes_have_no_pairs(rows: int) -> None:
    assert found(np.zeros((rows, 4), np.uint8), 3) == []


def test_columns_of_a_larger_array_are_read_as_they_are() -> None:
    wide = np.random.default_rng(0).integers(0, 4, (40, 6), np.uint8)
    assert found(wide[:, ::2], 2) == brute_force(wide[:, ::2].copy(), 2)


@pytest.mark.parametrize(
    "codes", [np.zeros((3, 2), np.int64), np.zeros((3, 2), bool), np.zeros(3, np.uint8), np.zeros((3, 0), np.uint8)]
)
def test_refuses_what_is_no_packed_code(codes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="packed uint8"):
        pairs_within(codes, 1)


def test_refuses_a_negative_radius() -> None:
    with pytest.raises(ValueError, match="negative"):
        pairs_within(np.zeros((3, 2), np.uint8), -1)
