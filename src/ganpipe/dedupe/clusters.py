"""From equal and near codes to groups of duplicates, each with the one that is kept."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np

from ganpipe.dedupe.hamming import pairs_within
from ganpipe.dedupe.search import Pairs

SLICE = 1 << 16  # pairs looked at together
ROUNDS = 8  # in which images of equal codes but other pixels are grouped

Verify = Callable[[np.ndarray, np.ndarray], np.ndarray]


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
    verify: Verify | None = None,
    rounds: int = ROUNDS,
) -> Clusters:
    """Groups of packed codes, uint8 (N, B/8); of each group the image is kept that is first in `order`, (N,).

    Images are taken in that order, after the `tests`, codes uint8 (T, B/8) of images that are no part of the corpus and
    stay in any case. One is a duplicate if its code lies within `radius` of one that stays, the nearest of them if
    there are several. So every removed image is a near-duplicate of the very image that stays for it: a chain A~B~C
    never removes C when A and C differ. Pairs in `apart`, images by index (tests from N on), are none, whatever their
    codes. Equal codes are collapsed before near ones are searched.

    Where `verify` is given, it says of pairs of images, int64 (m,) each, numbered likewise, which are duplicates
    indeed, bool (m,), and no image goes for another without it. What it refuses of equal codes is grouped once more by
    itself, at most `rounds` times, and then stays.
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
        for i, j, differing in _pairs(distinct, radius, first >= len(tests)):
            open_ = (keeper[i] == i) & (keeper[j] == j)
            if verify is not None and open_.any():
                open_[open_] = verify(number[first[i[open_]]], number[first[j[open_]]])
            for lower, higher, distance in zip(*(part[open_].tolist() for part in (i, j, differing)), strict=True):
                both = keeper[lower] == lower and keeper[higher] == higher
                if both and (first[lower], first[higher]) not in vetoed:
                    keeper[higher], bits[higher] = lower, distance
    ours = inverse[place[:count]]
    representative, distances = number[first[keeper[ours]]], bits[ours]
    if verify is not None:
        image = np.arange(count)
        collapsed = np.flatnonzero((number[first[ours]] != image) & (representative != image))
        refused = collapsed[~verify(collapsed, representative[collapsed])] if len(collapsed) else collapsed
        refused = refused[np.argsort(place[refused])]
        representative[refused], distances[refused] = refused, 0
        if rounds and len(refused):
            again = _among(refused, codes, radius, apart, verify, rounds - 1)
            representative[refused], distances[refused] = refused[again.representative], again.distance
    _, cluster = np.unique(representative, return_inverse=True)
    return Clusters(cluster, representative, distances)


def _among(
    images: np.ndarray, codes: np.ndarray, radius: int, apart: Collection[tuple[int, int]], verify: Verify, rounds: int
) -> Clusters:
    """`group` of some images alone, int64 (n,), preferred in that order."""
    at = {image: place for place, image in enumerate(images.tolist())}
    inside = {(at[i], at[j]) for i, j in apart if i in at and j in at}
    return group(codes[images], radius, None, None, inside, lambda i, j: verify(images[i], images[j]), rounds)


def _pairs(codes: np.ndarray, radius: int, removable: np.ndarray) -> Iterator[Pairs]:
    """Slices of the pairs of near codes, the higher of them `removable`: by the higher, the nearest lower first."""
    lower, higher, distance = pairs_within(codes, radius)
    ordered = np.lexsort((lower, distance, higher))
    ordered = ordered[removable[higher[ordered]]]
    for start in range(0, len(ordered), SLICE):
        part = ordered[start : start + SLICE]
        yield lower[part], higher[part], distance[part]


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
