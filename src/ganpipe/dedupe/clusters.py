"""From equal and near codes to groups of duplicates, each with the one that is kept."""

from dataclasses import dataclass

import numpy as np

from ganpipe.dedupe.hamming import pairs_within


@dataclass(frozen=True)
class Clusters:
    """For each image: its group, the kept image of that group, and the bits by which their codes differ."""

    cluster: np.ndarray  # int64 (N,), numbered by their representatives' order
    representative: np.ndarray  # int64 (N,), an index
    distance: np.ndarray  # uint16 (N,)

    @property
    def kept(self) -> np.ndarray:
        """Whether each image stays, bool (N,)."""
        return self.representative == np.arange(len(self.representative))


def group(codes: np.ndarray, radius: int) -> Clusters:
    """Groups of packed codes, uint8 (N, B/8); the first image of each group is kept.

    Images are taken in order; one is a duplicate if its code lies within `radius` of one that is kept already, the
    nearest of them if there are several. So every removed image is a near-duplicate of the very image that stays for
    it: a chain A~B~C never removes C when A and C differ. Equal codes are collapsed before near ones are searched.
    """
    distinct, first, inverse = _distinct(codes)
    keeper = np.arange(len(distinct))
    bits = np.zeros(len(distinct), np.uint16)
    if radius > 0:
        lower, higher, distance = pairs_within(distinct, radius)
        nearest_first = np.lexsort((lower, distance, higher))
        for i, j, apart in zip(lower[nearest_first], higher[nearest_first], distance[nearest_first], strict=True):
            if keeper[j] == j and keeper[i] == i:
                keeper[j], bits[j] = i, apart
    representative = first[keeper[inverse]]
    _, cluster = np.unique(representative, return_inverse=True)
    return Clusters(cluster, representative, bits[inverse])


def _distinct(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct codes in order of first appearance, the index of that, and each image's place among them."""
    keys = np.ascontiguousarray(codes).view(f"V{codes.shape[1]}").ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return codes[first[order]], first[order], rank[inverse]
