import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganpipe.dedupe import bands, hamming, search
from ganpipe.dedupe.hamming import pairs_within
from ganpipe.errors import UserError
from support.codes import apart, skewed_codes


def brute_force(codes: np.ndarray, radius: int) -> list[tuple[int, int, int]]:
    distance = apart(codes)
    upper = zip(*np.triu_indices(len(codes), 1), strict=True)
    return [(int(i), int(j), int(distance[i, j])) for i, j in upper if distance[i, j] <= radius]


def found(codes: np.ndarray, radius: int, **limits: int) -> list[tuple[int, int, int]]:
    i, j, distance = pairs_within(codes, radius, **limits)
    assert [part.dtype.name for part in (i, j, distance)] == ["int64", "int64", "uint16"]
    return list(zip(i.tolist(), j.tolist(), distance.tolist(), strict=True))


@given(skewed_codes(), st.integers(0, 9))
def test_finds_the_pairs_of_brute_force_once_each_in_order(codes: np.ndarray, radius: int) -> None:
    # The brute force lists by i, then j, with i < j: equality of lists is also order and uniqueness.
    assert found(codes, radius) == brute_force(codes, radius)


@given(skewed_codes(), st.integers(0, 9), st.integers(1, 40))
def test_chunks_do_not_show(codes: np.ndarray, radius: int, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "CHUNK", chunk)
        assert found(codes, radius) == brute_force(codes, radius)


@given(skewed_codes(), st.integers(0, 9), st.integers(1, 4))
def test_groups_divided_again_and_again_do_not_show(codes: np.ndarray, radius: int, agreeing: int) -> None:
    def always(differing: np.ndarray, live: int, radius: int, rows: int, pairs: int) -> int:
        return min(agreeing, live - radius)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "cheapest", always)
        patch.setattr(search, "FEW", 0)
        assert found(codes, radius) == brute_force(codes, radius)


@settings(max_examples=40)
@given(skewed_codes(largest=40), st.integers(0, 5), st.integers(300, 4000))  # more: up to 100,000 files an example
def test_neither_do_files_that_a_search_goes_through(codes: np.ndarray, radius: int, memory: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "LARGEST_SPLIT", 4)
        patch.setattr(hamming, "BLOCK", 7)
        assert found(codes, radius, memory=memory) == brute_force(codes, radius)
    assert not list(Path(".ckpt").glob("*"))


def planted(count: int, bits: np.ndarray, radius: int, pairs: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Codes of 128 bits whose bits are set with these probabilities, and pairs of them made near by hand."""
    source = np.random.default_rng(0)
    codes = source.random((count, 128), np.float32) < bits
    chosen = source.permutation(count)[: 2 * pairs].reshape(pairs, 2)
    for one, other in chosen:
        codes[other] = codes[one]
        codes[other, source.permutation(128)[: source.integers(0, radius + 1)]] ^= True
    return np.packbits(codes, axis=1), sorted((int(min(pair)), int(max(pair))) for pair in chosen)


@pytest.mark.parametrize(
    "bits",
    [
        np.full(128, 0.5),
        np.repeat([0.5, 0.0], 64),  # half of them constant
        np.repeat([0.5, 0.02], [50, 78]),  # few alive
        np.linspace(0.01, 0.99, 128),
    ],
    ids=["even", "half constant", "few alive", "skewed"],
)
@pytest.mark.parametrize("memory", [1 << 30, 4 << 20], ids=["in memory", "through files"])
def test_no_planted_pair_is_missed_and_all_that_is_found_is_near(bits: np.ndarray, memory: int) -> None:
    codes, pairs = planted(100_000, bits, 4, 2_000)
    i, j, distance = pairs_within(codes, 4, memory=memory)
    assert set(pairs) <= set(zip(i.tolist(), j.tolist(), strict=True))
    np.testing.assert_array_equal(np.bitwise_count(codes[i] ^ codes[j]).sum(1), distance)
    assert (i < j).all()
    assert (np.diff(i * len(codes) + j) > 0).all()
    assert distance.max() <= 4


@pytest.mark.parametrize("memory", [1 << 30, 1 << 20], ids=["in memory", "through files"])
@pytest.mark.parametrize("largest", [0, 3], ids=["equal", "two live bits"])
def test_too_many_pairs_are_refused_before_they_fill_memory(largest: int, memory: int) -> None:
    codes = np.zeros((200_000, 16), np.uint8)
    codes[:, 1] = np.random.default_rng(0).integers(0, largest, len(codes), endpoint=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"^more than 1,000,000 pairs of codes lie within 2 bits of each other: "):
        pairs_within(codes, 2, max_pairs=1_000_000, memory=memory)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_files_are_no_more_than_a_process_may_open() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (20_000, 2), np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hamming.LARGEST_SPLIT + 200, hard))
    try:
        through = pairs_within(codes, 0, memory=8000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert all((a == b).all() for a, b in zip(through, pairs_within(codes, 0), strict=True))


@pytest.mark.parametrize(("share", "radius", "candidates"), [(0.5, 1, 0), (0.1, 6, 1_000_000)])
def test_a_search_through_files_takes_the_memory_that_it_may(
    share: float, radius: int, candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where bits are seldom set, so that many codes agree in a band, and meet in one file."""
    monkeypatch.setattr(hamming, "BLOCK", 1 << 12)
    monkeypatch.setattr(search, "CHUNK", 1 << 12)
    monkeypatch.setattr(bands, "SAMPLE", 256)
    codes = np.packbits(np.random.default_rng(0).random((60_000, 128)) < share, axis=1)
    memory = 500_000
    tracemalloc.start()
    try:
        pairs = pairs_within(codes, radius, memory=memory)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 2 * memory + candidates + 40 * len(pairs[0])


def test_exactly_so_many_pairs_are_not_refused() -> None:
    codes = np.zeros((20, 2), np.uint8)
    assert len(found(codes, 1, max_pairs=190)) == 190
    with pytest.raises(UserError):
        pairs_within(codes, 1, max_pairs=189)


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


def test_where_all_pairs_are_compared_it_says_how_far_it_has_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (3000, 8), np.uint8)  # at half of the bits no part tells apart
    few = pairs_within(codes, 20)
    assert "comparing" not in capsys.readouterr().err
    monkeypatch.setattr(search, "LONG", 3000)
    for one, other in zip(pairs_within(codes, 20), few, strict=True):
        assert np.array_equal(one, other)
    assert "comparing codes: 4,500,000/4,500,000 pairs (100 %)" in capsys.readouterr().err
