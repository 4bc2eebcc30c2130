from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ganpipe.dedupe import shuffle
from ganpipe.dedupe.bands import as_words, choose_bands
from ganpipe.dedupe.hamming import pairs_within
from ganpipe.errors import UserError
from support.codes import apart, skewed_codes

Pairs = list[tuple[int, int, int]]


@given(skewed_codes(smallest=2), st.integers(0, 6), st.integers(1, 3))
def test_every_pair_meets_in_one_part_and_is_taken_in_one_only(codes: np.ndarray, radius: int, parts: int) -> None:
    """What the cluster does, in one process."""
    words = as_words(codes)
    free = np.bitwise_or.reduce(words ^ words[0])
    assume(np.bitwise_count(free).sum() > radius)
    bands = choose_bands(words[1:] ^ words[:-1], free, radius + 1)
    records = np.column_stack([np.arange(len(codes), dtype=np.uint64), words])
    placed = shuffle._placed(bands, parts, shuffle._columns(records))
    assert len(placed["part"]) == (radius + 1) * len(codes)
    found = []
    for part in np.unique(placed["part"]):
        table = {name: column[placed["part"] == part] for name, column in placed.items()}
        there = shuffle._searched(bands, free, parts, radius, 10**6, table)
        found += list(zip(*(there[name].tolist() for name in ("i", "j", "distance")), strict=True))
    distance = apart(codes)
    due = [(int(i), int(j), int(distance[i, j])) for i, j in zip(*np.triu_indices(len(codes), 1), strict=True)]
    assert sorted(found) == [pair for pair in due if pair[2] <= radius]


def planted(count: int) -> np.ndarray:
    """Codes of 96 bits, a third of which is alike in all, with copies that differ in a few of the others."""
    source = np.random.default_rng(0)
    codes = source.integers(0, 256, (count, 12), np.uint8)
    codes[:, :4] = 7
    codes[count // 2 : count // 2 + 500] = codes[:500]
    for _ in range(3):
        codes[count // 2 + np.arange(500), source.integers(4, 12, 500)] ^= np.uint8(1) << source.integers(
            0, 8, 500, np.uint8
        )
    codes[-300:] = codes[0]
    return codes


def test_the_cluster_finds_what_one_machine_finds(on_ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = planted(20_000)
    monkeypatch.setattr(shuffle, "BLOCK", 3000)
    there = pairs_within(codes, 3, memory=1)
    monkeypatch.delenv("GANPIPE_ENGINE")
    here = pairs_within(codes, 3)
    assert len(here[0]) > 45_000
    assert all((ours == theirs).all() and ours.dtype == theirs.dtype for ours, theirs in zip(there, here, strict=True))


def test_too_many_pairs_are_refused_there_too(on_ray: Any) -> None:
    with pytest.raises(UserError, match="more than 1,000 pairs of codes lie within 3 bits"):
        pairs_within(planted(5000), 3, max_pairs=1000, memory=1)


def test_codes_that_all_lie_within_the_radius_need_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANPIPE_ENGINE", "ray")
    monkeypatch.setitem(__import__("sys").modules, "ray.data", None)
    codes = np.array([[0], [1], [3], [2]], np.uint8)
    assert pairs_within(codes, 2, memory=1)[2].tolist() == [1, 2, 1, 1, 2, 1]
