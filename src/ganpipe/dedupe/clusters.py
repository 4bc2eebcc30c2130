"""From equal and near codes to groups of duplicates, each with the one that is kept."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from ganpipe.dedupe.hamming import pairs_within


@dataclass(frozen=True)
class Clusters:
    """For each image: its group, the kept image of that group, and the bits by which their codes differ.

    Of images that are removed for a test image, that is number N + t, and none of their group is kept.
    """

    cluster: np.ndarray  # int64 (N,), numbered by their representatives' order
    representative: np.ndarray  # int64 (N,), an index
    distance: np.ndarray  # uint16 (N,)

    @property
    def kept(self) -> np.ndarray:
        """Whether each image stays, bool (N,)."""
        return self.representative == np.arange(len(self.representative))

    @property
    def leaked(self) -> np.ndarray:
        """Whether each image is removed for a test image, bool (N,)."""
        return self.representative >= len(self.representative)


def group(
    codes: np.ndarray,
    radius: int,
    order: np.ndarray | None = None,
    tests: np.ndarray | None = None,
    apart: Collection[tuple[int, int]] = (),
    verify: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Clusters:
    """Groups of packed codes, uint8 (N, B/8); of each group the image is kept that is first in `order`, (N,).

    Images are taken in that order, after the `tests`, codes uint8 (T, B/8) of images that are no part of the corpus and
    stay in any case. One is a duplicate if its code lies within `radius` of one that stays, the nearest of them if
    there are several. So every removed image is a near-duplicate of the very image that stays for it: a chain A~B~C
    never removes C when A and C differ. Pairs in `apart`, images by index (tests from N on), are none, whatever their
    codes. Equal codes are collapsed before near ones are searched. Of images whose codes are near, `verify` tells which
    pairs, int64 (m,) each, numbered likewise, are duplicates indeed, bool (m,).
    """
    count = len(codes)
    order = np.arange(count) if order is None else order
    tests = np.empty((0, codes.shape[1]), np.uint8) if tests is None else tests
    number = np.concatenate([count + np.arange(len(tests)), order])  # of each place in the order, the image
    place = np.argsort(number)
    places = np.concatenate([tests, codes[order]])
    vetoed = {(min(pair), max(pair)) for pair in ((int(place[i]), int(place[j])) for i, j in apart)}
    distinct, first, inverse = _distinct(places, np.array(sorted({i for pair in vetoed for i in pair}), np.int64))
    keeper, bits = np.arange(len(first)), np.zeros(len(first), np.uint16)
    if radius > 0 or vetoed:
        lower, higher, distance = pairs_within(distinct, radius)
        of_corpus = first[higher] >= len(tests)
        if verify is not None:
            asked = np.flatnonzero(of_corpus & (distance > 0))
            of_corpus[asked] = verify(number[first[lower[asked]]], number[first[higher[asked]]])
        lower, higher, distance = lower[of_corpus], higher[of_corpus], distance[of_corpus]
        nearest_first = np.lexsort((lower, distance, higher))
        columns = (column[nearest_first].tolist() for column in (lower, higher, distance))
        for i, j, differing in zip(*columns, strict=True):
            if keeper[j] == j and keeper[i] == i and (first[i], first[j]) not in vetoed:
                keeper[j], bits[j] = i, differing
    ours = inverse[place[:count]]
    representative = number[first[keeper[ours]]]
    _, cluster = np.unique(representative, return_inverse=True)
    return Clusters(cluster, representative, bits[ours])


def _distinct(codes: np.ndarray, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct codes in order of first appearance, the place of that, and each one's number among them.

    Those at the places `alone` are distinct from all others, whatever their codes.
    """
    name = np.zeros((len(codes), 4), np.uint8)
    name[alone] = np.arange(1, len(alone) + 1, dtype=">u4").view(np.uint8).reshape(-1, 4)
    keys = np.ascontiguousarray(np.hstack([codes, name])).view(f"V{codes.shape[1] + 4}").ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return codes[first[order]], first[order], rank[inverse]
