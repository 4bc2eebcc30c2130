"""All pairs of binary codes within a Hamming radius, exactly.

Cut the bits into radius + 1 bands: two codes that differ in at most `radius` bits agree in at least one band
(pigeonhole). So candidates are the codes that share a band, found by sorting, and each is then verified. Where too many
would, the bits are cut into radius + t bands, in t of which such codes agree; and where many still do, because those
bits hardly vary, the same is done among them with the other bits. A pair is taken where it first agrees, and so once.
"""

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ganpipe import files
from ganpipe.errors import UserError
from ganpipe.runtime import choose_precision

MAX_PAIRS = 1 << 25
MEMORY = 2 << 30  # bytes
CHUNK = 1 << 18  # candidate pairs held at a time
BLOCK = 1 << 18  # codes read at a time
SAMPLE = 1 << 13  # pairs that bands are chosen by
ROW_BYTES = 96  # that a search holds for each code, besides the code
SORTING = 2  # candidates that are compared in the time in which a code is sorted
MOST_AGREEING = 4  # of the bands that candidates have to agree in
IN_TILES = 0.1  # the same, of a pair in a large group, all of which are compared together
TILE = 2048  # codes of a large group that are compared with as many others at a time
FEW = 8  # codes in a group, for each band, that are compared at once
LARGEST_SPLIT = 512  # parts on disk, each an open file
MULTIPLIERS = np.random.default_rng(0).integers(1 << 63, dtype=np.uint64, size=256) * 2 + 1
LOW = np.uint64(0xFFFFFFFF)

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def pairs_within(codes: np.ndarray, radius: int, max_pairs: int = MAX_PAIRS, memory: int = MEMORY) -> Pairs:
    """All i < j with at most `radius` differing bits among `codes`, uint8 (N, B/8): i, j (int64), distance (uint16).

    Sorted by i, then j. Equal codes are pairs too: where there may be many of them, search among the distinct ones.
    Codes whose search would take more than `memory` bytes, themselves not counted (a memory map takes none), go through
    files in parts; pairs take 40 bytes each. A UserError where there are more than `max_pairs`.
    """
    if codes.ndim != 2 or codes.dtype != np.uint8 or codes.shape[1] == 0:
        raise ValueError(f"codes must be packed uint8 rows, not {codes.dtype} of shape {codes.shape}")
    if radius < 0:
        raise ValueError(f"radius must not be negative: {radius}")
    if max_pairs < 0 or memory < 1:
        raise ValueError(f"max_pairs and memory must be positive, not {max_pairs} and {memory}")
    found = Found(radius, max_pairs)
    words = -(-codes.shape[1] // 8)
    every, none = np.full(words, ~np.uint64(0)), np.zeros(words, np.uint64)
    limit = max(2, memory // (ROW_BYTES + 8 * words))
    if len(codes) <= limit:
        Search(as_words(codes), None, found).among(Runs.of(len(codes)), Known(every, none, ()))
    else:
        with files.scratch() as folder:
            _in_parts(partial(_numbered, codes), len(codes), Known(every, none, ()), found, limit, folder)
    return found.sorted()


class Found:
    """What has been found so far. A UserError from `add` where it is more than `most` pairs."""

    def __init__(self, radius: int, most: int) -> None:
        self.radius, self.most, self.count = radius, most, 0
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []  # i << 32 | j, and distance

    def expect(self, count: int) -> None:
        """Refuse so many more, before they are made."""
        if self.count + count > self.most:
            raise UserError(
                f"more than {self.most:,} pairs of codes lie within {self.radius} bits of each other: choose a smaller "
                "radius, or codes of more bits"
            )

    def add(self, i: np.ndarray, j: np.ndarray, distance: np.ndarray) -> None:
        """Take more of them, i < j."""
        self.expect(len(i))
        self.count += len(i)
        if len(i):
            self._parts.append((i.astype(np.uint64) << np.uint64(32) | j.astype(np.uint64), distance))

    def sorted(self) -> Pairs:
        """All of them, by i, then j."""
        keys = np.concatenate([np.empty(0, np.uint64), *(key for key, _ in self._parts)])
        distances = np.concatenate([np.empty(0, np.uint16), *(distance for _, distance in self._parts)])
        self._parts = []
        order = np.argsort(keys)
        keys = keys[order]
        return (keys >> np.uint64(32)).astype(np.int64), (keys & LOW).astype(np.int64), distances[order]


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


class Search:
    """A search among `words`, uint64 (n, words), of codes numbered by `index`, int64 (n,), or by their order."""

    def __init__(self, words: np.ndarray, index: np.ndarray | None, found: Found) -> None:
        self.words, self.index, self.found = words, index, found
        self._columns = [np.ascontiguousarray(column) for column in words.T]

    def among(self, runs: Runs, known: Known) -> None:
        """Find the pairs within each group, all of which agree where `known` says so, or nearly all."""
        radius = self.found.radius
        words = self.words[runs.rows]
        starts = np.repeat(np.cumsum(runs.sizes) - runs.sizes, runs.sizes)
        free = known.free & np.bitwise_or.reduce(words ^ words[starts])  # within a group the others are all alike
        live = int(np.bitwise_count(free).sum())
        if live <= radius:
            if not known.agreed.any():
                self.found.expect(runs.pairs)  # each is one
            return self.compare(runs, known)
        differences = _differences(words, runs.sizes) & free
        agreeing = cheapest(np.bitwise_count(differences).sum(1), live, radius, len(runs.rows), runs.pairs)
        if agreeing == 0:
            return self.compare(runs, known)
        bands = choose_bands(differences, free, radius + agreeing)
        number = runs.number
        worth = runs.pairs // (2 * math.comb(len(bands), agreeing))  # or they would grow from level to level
        for chosen in combinations(range(len(bands)), agreeing):
            mask, further = _agreeing_in(chosen, bands, free, known)
            shared = sharing(words & mask, number)
            self.follow(Runs(runs.rows[shared.rows], shared.sizes), further, worth)
        return None

    def follow(self, runs: Runs, known: Known, worth: int) -> None:
        """`among`, with small groups compared at once, and large ones too where they have more than `worth` pairs."""
        few, many = runs.divided(FEW * (self.found.radius + 1))
        self.compare(few, known)
        if len(many.rows):
            (self.among if many.pairs <= worth else self.compare)(many, known)

    def compare(self, runs: Runs, known: Known) -> None:
        """Compare all pairs within each group."""
        few, many = runs.divided(TILE)
        for left, right in _pairs(few.sizes):
            self.take(few.rows[left], few.rows[right], known)
        for rows in np.split(many.rows, np.cumsum(many.sizes)[:-1]) if len(many.sizes) else []:
            for left, right in _near(self.words[rows], self.found.radius):
                self.take(rows[left], rows[right], known)

    def take(self, i: np.ndarray, j: np.ndarray, known: Known) -> None:
        """Of these pairs of rows, i < j, those that are near, and are found here and nowhere else."""
        distance = np.zeros(len(i), np.uint16)
        for column in self._columns:  # after the first word hardly any are left
            distance += np.bitwise_count(column[i] ^ column[j])
            near = np.flatnonzero(distance <= self.found.radius)
            i, j, distance = i[near], j[near], distance[near]
        different = self.words[i] ^ self.words[j]
        taken = ~(different & known.agreed).any(1)
        for mask in known.differing:
            taken &= (different & mask).any(1)
        i, j = i[taken], j[taken]
        if self.index is not None:
            i, j = self.index[i], self.index[j]
        self.found.add(i, j, distance[taken])


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


def _agreeing_in(
    chosen: tuple[int, ...], bands: list[np.ndarray], free: np.ndarray, known: Known
) -> tuple[np.ndarray, Known]:
    """The mask of those bands, and what is known of pairs that agree in them and in no other one before their last."""
    mask = np.bitwise_or.reduce([bands[number] for number in chosen])
    before = [bands[number] for number in range(chosen[-1]) if number not in chosen]
    return mask, Known(free & ~mask, known.agreed | mask, (*known.differing, *before))


def _near(words: np.ndarray, radius: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Chunks of the rows left < right of `words` that differ in at most `radius` bits, by products of +1 and -1.

    A matrix product is far faster than any comparison of single pairs, and such sums are exact: also in bf16 to 256.
    """
    signs = torch.from_numpy(np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1))
    alive = (signs != signs[0]).any(0)
    signs = signs[:, alive]
    least = signs.shape[1] - 2 * radius
    exact = choose_precision("auto", signs.device) if signs.shape[1] <= 256 else torch.float32
    sums = torch.empty(TILE, TILE, dtype=exact)  # once, for memory that is touched anew is slow
    for low in range(0, len(signs), TILE):
        ours = 2 * signs[low : low + TILE].to(exact) - 1
        for high in range(low, len(signs), TILE):
            theirs = 2 * signs[high : high + TILE].to(exact) - 1
            products = sums.view(-1)[: len(ours) * len(theirs)].view(len(ours), len(theirs))
            close = torch.mm(ours, theirs.T, out=products) >= least
            left, right = torch.nonzero(close.triu(1) if low == high else close, as_tuple=True)
            for piece in range(0, len(left), CHUNK):
                yield low + left[piece : piece + CHUNK].numpy(), high + right[piece : piece + CHUNK].numpy()


def _numbered(codes: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of rows, uint64 (n, 1 + words): a code's number, and its words."""
    for start in range(0, len(codes), BLOCK):
        words = as_words(codes[start : start + BLOCK])
        yield np.column_stack([np.arange(start, start + len(words), dtype=np.uint64), words])


def _in_parts(
    read: Callable[[], Iterator[np.ndarray]], count: int, known: Known, found: Found, limit: int, folder: Path
) -> None:
    """What `Search.among` does with `count` codes, for each band with files of codes that may agree in it.

    `read` gives blocks as `_numbered` makes them. A file of at most `limit` codes is searched in memory, another is
    divided again.
    """
    sample, varying, first = [], np.zeros_like(known.free), None
    for block in read():
        first = block[0, 1:] if first is None else first
        varying |= np.bitwise_or.reduce(block[:, 1:] ^ first)
        sample.append(block[:: max(1, count // SAMPLE), 1:])
    free = known.free & varying
    if np.bitwise_count(free).sum() <= found.radius:
        found.expect(count * (count - 1) // 2 if not known.agreed.any() else 0)
        return _search(read(), known, found)
    some = np.concatenate(sample)
    bands = choose_bands(_differences(some, np.array([len(some)])), free, found.radius + 1)
    for number in range(len(bands)):
        _, further = _agreeing_in((number,), bands, free, known)
        for part in _scattered(read(), further.agreed, -(-2 * count // limit), folder):
            rows = part.stat().st_size // (8 * (1 + len(free)))
            again = partial(_blocks, part, len(free))
            if limit < rows <= count // 2:
                _in_parts(again, rows, further, found, limit, folder)
            else:
                _search(again(), further, found)
            part.unlink()
    return None


def _search(blocks: Iterator[np.ndarray], known: Known, found: Found) -> None:
    """The pairs among all those codes."""
    records = np.concatenate(list(blocks))
    words, index = np.ascontiguousarray(records[:, 1:]), records[:, 0].astype(np.int64)
    del records
    runs = sharing(words & known.agreed)
    Search(words, index, found).follow(runs, known, runs.pairs)


def _scattered(blocks: Iterator[np.ndarray], mask: np.ndarray, parts: int, folder: Path) -> Iterator[Path]:
    """Files of the blocks' rows, those that agree where `mask` says in one file; each is there until the next."""
    bits = min(parts, LARGEST_SPLIT).bit_length()
    with tempfile.TemporaryDirectory(dir=folder) as inner, ExitStack() as opened:
        paths = [Path(inner) / f"{number:04}" for number in range(1 << bits)]
        outputs = [opened.enter_context(path.open("wb")) for path in paths]
        for block in blocks:
            # Not the bits that `sharing` sorts by.
            part = hashed(block[:, 1:] & mask) & np.uint64((1 << bits) - 1)
            order = np.argsort(part, kind="stable")
            ends = np.searchsorted(part[order], np.arange((1 << bits) + 1, dtype=np.uint64))
            ordered = block[order]
            for number, output in enumerate(outputs):
                output.write(ordered[ends[number] : ends[number + 1]].data)
        opened.close()
        for path in paths:
            if path.stat().st_size:
                yield path


def _blocks(path: Path, words: int) -> Iterator[np.ndarray]:
    """A file's rows, in blocks."""
    rows = np.memmap(path, np.uint64, "r").reshape(-1, 1 + words)
    for start in range(0, len(rows), BLOCK):
        yield np.array(rows[start : start + BLOCK])


def as_words(codes: np.ndarray) -> np.ndarray:
    """Packed codes, uint8 (N, bytes), as uint64 (N, words), the last one filled up with zeros."""
    count, width = codes.shape
    if width % 8 == 0:
        return np.ascontiguousarray(codes).view(np.uint64)
    filled = np.zeros((count, -(-width // 8) * 8), np.uint8)
    filled[:, :width] = codes
    return filled.view(np.uint64)


def hashed(words: np.ndarray) -> np.ndarray:
    """A hash of each row, uint64 (N,): equal rows have equal ones, and others hardly ever equal halves."""
    found = np.zeros(len(words), np.uint64)
    for number in range(words.shape[1]):
        word = words[:, number] * MULTIPLIERS[number % 256]
        found = (found ^ word ^ (word >> np.uint64(32))) * MULTIPLIERS[(number + 128) % 256]
    return found ^ (found >> np.uint64(32))


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


def _differences(words: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Of some pairs within groups, one after another, uint64 (pairs, words)."""
    source = np.random.default_rng(0)
    left = source.integers(0, len(words), SAMPLE)
    ends = np.cumsum(sizes)
    group = np.searchsorted(ends, left, side="right")
    right = ends[group] - 1 - source.integers(0, sizes[group])
    different: np.ndarray = words[left[left != right]] ^ words[right[left != right]]
    return different


def _pairs(sizes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Chunks of the places of all pairs within groups of those sizes that lie one after another, left < right."""
    # Within a group of g, its k-th member pairs with the g - 1 - k after it.
    position = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    partners = np.repeat(sizes, sizes) - 1 - position
    ends = np.cumsum(partners)
    start = 0
    while start < len(partners):
        base = ends[start] - partners[start]
        stop = max(start + 1, int(np.searchsorted(ends, base + CHUNK, side="right")))
        counts = partners[start:stop]
        left = np.repeat(np.arange(start, stop), counts)
        right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
        for piece in range(0, len(left), CHUNK):  # one member alone may have more than a chunk
            yield left[piece : piece + CHUNK], right[piece : piece + CHUNK]
        start = stop
