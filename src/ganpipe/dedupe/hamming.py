"""All pairs of binary codes within a Hamming radius, exactly.

Cut the bits into radius + 1 bands: two codes that differ in at most `radius` bits agree in at least one band
(pigeonhole). So candidates are the codes that share a band, found by sorting, and each is then verified.
"""

from collections.abc import Iterator

import numpy as np

CHUNK = 1 << 22  # candidate pairs held at a time


def pairs_within(codes: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All i < j with at most `radius` differing bits among `codes`, uint8 (N, B/8): i, j (int64), distance (uint16).

    Sorted by i, then j. Equal codes are pairs too: where there may be many of them, search among the distinct ones.
    """
    if codes.ndim != 2 or codes.dtype != np.uint8 or codes.shape[1] == 0:
        raise ValueError(f"codes must be packed uint8 rows, not {codes.dtype} of shape {codes.shape}")
    if radius < 0:
        raise ValueError(f"radius must not be negative: {radius}")
    bits = codes.shape[1] * 8
    found = []
    for band in np.array_split(np.arange(bits), min(radius + 1, bits)):
        for i, j in _sharing(_band(codes, band)):
            distance = np.bitwise_count(codes[i] ^ codes[j]).sum(1, dtype=np.uint16)
            near = distance <= radius
            found.append((i[near], j[near], distance[near]))
    if radius >= bits:  # every pair: also those that share no band
        i, j = np.triu_indices(len(codes), 1)
        found.append((i, j, np.bitwise_count(codes[i] ^ codes[j]).sum(1, dtype=np.uint16)))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint16)
    i, j, distance = (np.concatenate(parts) for parts in zip(*found, strict=True))
    _, first = np.unique(i * len(codes) + j, return_index=True)  # a pair may share several bands
    return i[first], j[first], distance[first]


def _band(codes: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """A sortable key of those bits of each code: void (N,)."""
    packed = np.packbits(np.unpackbits(codes, axis=1)[:, bits], axis=1)
    return np.ascontiguousarray(packed).view(f"V{packed.shape[1]}").ravel()


def _sharing(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Chunks of all pairs i < j with equal keys."""
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    # Within a group of g, its k-th member pairs with the g - 1 - k after it.
    position = np.arange(len(keys)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    partners = np.repeat(sizes, sizes) - 1 - position
    ends = np.cumsum(partners)
    start = 0
    while start < len(keys):
        base = ends[start] - partners[start]
        stop = max(start + 1, int(np.searchsorted(ends, base + CHUNK, side="right")))
        counts = partners[start:stop]
        left = np.repeat(np.arange(start, stop), counts)
        right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
        yield order[left], order[right]
        start = stop
