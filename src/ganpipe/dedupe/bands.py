"""Binary codes cut into bands: which bits go into which, in how many to agree, and which codes agree in some."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

SAMPLE = 1 << 13  # pairs that bands are chosen by
SORTING = 2  # candidates that are compared in the time in which a code is sorted
MOST_AGREEING = 4  # of the bands that candidates have to agree in
IN_TILES = 0.1  # the same, of a pair in a large group, all of which are compared together
MULTIPLIERS = np.random.default_rng(0).integers(1 << 63, dtype=np.uint64, size=256) * 2 + 1
LOW = np.uint64(0xFFFFFFFF)


class Runs(NamedTuple):
    """Rows in groups, one after another: the rows, ascending within a group, and each group's size (two or more)."""

    rows: np.ndarray  # int64 (n,)
    sizes: np.ndarray  # int64 (groups,)

    @classmethod
    def of(cls, count: int) -> "Runs":
        """So many rows, all in one group."""
        return cls(np.arange(count), np.array([count]))

    @property
    def pairs(self) -> int:
        """How many pairs of rows have a group in common."""
        return int((self.sizes * (self.sizes - 1) // 2).sum())

    @property
    def number(self) -> np.ndarray:
        """Each row's group, int64 (n,)."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def divided(self, largest: int) -> tuple["Runs", "Runs"]:
        """The groups of at most `largest` rows, and the others."""
        small = self.sizes <= largest
        of_small = np.repeat(small, self.sizes)
        return Runs(self.rows[of_small], self.sizes[small]), Runs(self.rows[~of_small], self.sizes[~small])


class Known(NamedTuple):
    """What is known of the pairs that are looked for: masks, each uint64 (words,)."""

    free: np.ndarray  # bits that have not been used
    agreed: np.ndarray  # bits in which they agree
    differing: tuple[np.ndarray, ...]  # in each of these masks they differ, or they were found before


def numbered(codes: np.ndarray, block: int) -> Iterator[np.ndarray]:
    """Blocks of rows, uint64 (n, 1 + words): a code's number, and its words."""
    for start in range(0, len(codes), block):
        words = as_words(codes[start : start + block])
        yield np.column_stack([np.arange(start, start + len(words), dtype=np.uint64), words])


def survey(blocks: Iterable[np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which bits are not alike in all `count` rows, uint64 (words,), and some of these, uint64 (n, words)."""
    some, varying, first = [], np.zeros(0, np.uint64), None
    for block in blocks:
        if first is None:
            first, varying = block[0, 1:], np.zeros(block.shape[1] - 1, np.uint64)
        varying |= np.bitwise_or.reduce(block[:, 1:] ^ first)
        some.append(block[:: max(1, count // SAMPLE), 1:].copy())  # a view would hold the block
    return varying, np.concatenate(some)


def choose_bands(differences: np.ndarray, free: np.ndarray, count: int) -> list[np.ndarray]:
    """`count` masks, uint64 (words,), that share out the bits of `free`, so that pairs seldom agree in one of them.

    `differences`, uint64 (pairs, words), are of pairs of codes as they come. One after another the band in which most
    of them agree gets the bit that most of those differ in.
    """
    bits = np.flatnonzero(np.unpackbits(free.view(np.uint8)))
    differ = np.unpackbits(np.ascontiguousarray(differences).view(np.uint8), axis=1)[:, bits].astype(bool)
    agree = np.ones((count, len(differ)), bool)  # in the bits that each band has so far
    left = list(range(len(bits)))
    sizes = np.zeros(count, np.int64)
    chosen = np.zeros((count, free.nbytes * 8), np.uint8)
    usual = differ.mean(0) if len(differ) else np.zeros(len(bits))
    while left:
        remaining = agree.sum(1)
        band = int(np.lexsort((sizes, -remaining))[0]) if sizes.all() else int(np.argmin(sizes))
        gain = differ[np.ix_(agree[band], left)].sum(0) if remaining[band] else usual[left]
        bit = left.pop(int(np.argmax(gain)))
        agree[band] &= ~differ[:, bit]
        sizes[band] += 1
        chosen[band, bits[bit]] = 1
    return list(np.packbits(chosen, axis=1).view(np.uint64))


def differences_within(words: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Of some pairs within groups, one after another, uint64 (pairs, words)."""
    source = np.random.default_rng(0)
    left = source.integers(0, len(words), SAMPLE)
    ends = np.cumsum(sizes)
    group = np.searchsorted(ends, left, side="right")
    right = ends[group] - 1 - source.integers(0, sizes[group])
    different: np.ndarray = words[left[left != right]] ^ words[right[left != right]]
    return different


def cheapest(differing: np.ndarray, live: int, radius: int, rows: int, pairs: int) -> int:
    """In how many of radius + t bands pairs should agree, t from 1, or 0 where comparing `pairs` directly is cheaper.

    Of radius + t bands, codes that differ in at most `radius` bits agree in t. `differing` are the numbers of `live`
    bits that some pairs differ in: a pair agrees in s of the bits with the chance comb(live - d, s) / comb(live, s).
    """
    costs = {0: pairs * IN_TILES}
    for agreeing in range(1, min(MOST_AGREEING, live - radius) + 1):
        ways, bits = math.comb(radius + agreeing, agreeing), live * agreeing // (radius + agreeing)
        chance = [
            _log_comb(live - d, bits) - _log_comb(live, bits) if d <= live - bits else -math.inf
            for d in range(live + 1)
        ]
        share = float(np.exp(chance)[differing].mean()) if len(differing) else 1.0
        costs[agreeing] = ways * (SORTING * rows + share * pairs)
    return min(costs, key=costs.__getitem__)


def _log_comb(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def agreeing_in(
    chosen: tuple[int, ...], bands: list[np.ndarray], free: np.ndarray, known: Known
) -> tuple[np.ndarray, Known]:
    """The mask of those bands, and what is known of pairs that agree in them and in no other one before their last."""
    mask = np.bitwise_or.reduce([bands[number] for number in chosen])
    before = [bands[number] for number in range(chosen[-1]) if number not in chosen]
    return mask, Known(free & ~mask, known.agreed | mask, (*known.differing, *before))


def sharing(words: np.ndarray, group: np.ndarray | None = None) -> Runs:
    """Rows with equal words (and, very rarely, others) within the same `group`; rows are indices into `words`."""
    key = hashed(words)
    if group is not None:
        key += group.astype(np.uint64) * MULTIPLIERS[255]
        key *= MULTIPLIERS[254]
    key = (key & ~LOW) | np.arange(len(words), dtype=np.uint64)
    key.sort()
    top = key >> np.uint64(32)
    same = top[1:] == top[:-1]
    in_run = np.zeros(len(key), bool)
    in_run[1:] |= same
    in_run[:-1] |= same
    begins = np.ones(len(key), bool)
    begins[1:] = ~same
    starts = np.flatnonzero(begins[in_run])
    rows = (key[in_run] & LOW).astype(np.int64)
    return Runs(rows, np.diff(starts, append=len(rows)))


def hashed(words: np.ndarray) -> np.ndarray:
    """A hash of each row, uint64 (N,): equal rows have equal ones, and others hardly ever equal halves."""
    found = np.zeros(len(words), np.uint64)
    for number in range(words.shape[1]):
        word = words[:, number] * MULTIPLIERS[number % 256]
        found = (found ^ word ^ (word >> np.uint64(32))) * MULTIPLIERS[(number + 128) % 256]
    return found ^ (found >> np.uint64(32))


def as_words(codes: np.ndarray) -> np.ndarray:
    """Packed codes, uint8 (N, bytes), as uint64 (N, words), the last one filled up with zeros."""
    count, width = codes.shape
    if width % 8 == 0:
        return np.ascontiguousarray(codes).view(np.uint64)
    filled = np.zeros((count, -(-width // 8) * 8), np.uint8)
    filled[:, :width] = codes
    return filled.view(np.uint64)
