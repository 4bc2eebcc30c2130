"""The search for near codes among as many as fit into memory."""

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import torch

from ganpipe.dedupe.bands import LOW, Known, Runs, agreeing_in, cheapest, choose_bands, differences_within, sharing
from ganpipe.errors import UserError
from ganpipe.progress import Progress
from ganpipe.runtime import choose_precision

CHUNK = 1 << 18  # candidate pairs held at a time
TILE = 2048  # codes of a large group that are compared with as many others at a time
LONG = 1 << 18  # codes in a group, from which on comparing all of them is told about
FEW = 8  # codes in a group, for each band, that are compared at once

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


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
        differences = differences_within(words, runs.sizes) & free
        agreeing = cheapest(np.bitwise_count(differences).sum(1), live, radius, len(runs.rows), runs.pairs)
        if agreeing == 0:
            return self.compare(runs, known)
        bands = choose_bands(differences, free, radius + agreeing)
        number = runs.number
        worth = runs.pairs // (2 * math.comb(len(bands), agreeing))  # or they would grow from level to level
        for chosen in combinations(range(len(bands)), agreeing):
            mask, further = agreeing_in(chosen, bands, free, known)
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


def search_all(blocks: Iterator[np.ndarray], known: Known, found: Found) -> None:
    """The pairs among all those codes."""
    records = np.concatenate(list(blocks))
    words, index = np.ascontiguousarray(records[:, 1:]), records[:, 0].astype(np.int64)
    del records
    runs = sharing(words & known.agreed)
    Search(words, index, found).follow(runs, known, runs.pairs)


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
    with Progress("comparing codes", len(signs) ** 2 // 2, "pairs", silent=len(signs) < LONG) as progress:
        for low in range(0, len(signs), TILE):
            ours = 2 * signs[low : low + TILE].to(exact) - 1
            for high in range(low, len(signs), TILE):
                theirs = 2 * signs[high : high + TILE].to(exact) - 1
                products = sums.view(-1)[: len(ours) * len(theirs)].view(len(ours), len(theirs))
                close = torch.mm(ours, theirs.T, out=products) >= least
                left, right = torch.nonzero(close.triu(1) if low == high else close, as_tuple=True)
                progress.advance(len(ours) * len(theirs) // (2 if low == high else 1))
                for piece in range(0, len(left), CHUNK):
                    yield low + left[piece : piece + CHUNK].numpy(), high + right[piece : piece + CHUNK].numpy()


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
