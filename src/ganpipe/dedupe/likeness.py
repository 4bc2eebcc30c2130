"""Whether two images are near-duplicates, by their pixels: what a hash is judged by, and no hash itself.

The correlation of the pixels does not tell: that of two ships on a grey sea may be 0.9, and that of one photograph in
two crops 0.75. Edges do: the gradients of the brightness, compared at the best of small displacements. Of 2,055 pairs
of CIFAR-10's images that the whitened hash put within 25 bits, 1,577 reach the bound; to the eye, some 13 of these are
no near-duplicates, and some 90 of the others: a third of those below 0.45, one in fifteen of those next to the bound.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ganpipe.progress import Progress

SAME = 0.65  # correlation of the gradients of near-duplicates, at least
REACH = 2  # pixels of 32 that near-duplicates may be displaced by
LIKELY = 0.5  # the like of the halved images, which 1 of 1,000 unrelated pairs has: with less, they are not looked at
NOISE = 4.0  # levels of brightness that a difference of pixels must exceed to count in full
BLANK = 0.2  # root of levels: with weaker gradients on average, there is only the noise of compression
PAIRS = 2048  # looked at closely at a time
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of ITU-R BT.601, as in JPEG


class Edges(NamedTuple):
    """The gradients of n images of 32x32 pixels, float32."""

    coarse: np.ndarray  # (n, 14, 14, 2), of the images halved
    fine: np.ndarray  # (n, 30, 30, 2)


def edges(squares: np.ndarray) -> Edges:
    """Of uint8 (n, 32, 32, 3)."""
    grey = squares.astype(np.float32) @ LUMA
    return Edges(_gradients(grey.reshape(len(grey), 16, 2, 16, 2).mean((2, 4))), _gradients(grey))


def alike(these: Edges, others: Edges, asked: np.ndarray) -> np.ndarray:
    """Which of `these` n are near-duplicates of which of the k `others`, where `asked`, bool (n, k): bool (n, k).

    Images without any edges are like each other.
    """
    likely = np.zeros_like(asked)
    centres = _centre(these.coarse, REACH // 2)
    for moved in _displaced(others.coarse, REACH // 2):
        likely |= centres @ moved.T >= LIKELY
    same = np.zeros_like(asked)
    rows, columns = np.nonzero(asked & likely)
    for start in range(0, len(rows), PAIRS):
        i, j = rows[start : start + PAIRS], columns[start : start + PAIRS]
        same[i, j] = correlation(these.fine[i], others.fine[j], REACH) >= SAME
    return same | (asked & np.logical_and.outer(_blank(these), _blank(others)))


def alike_in_pairs(these: Edges, others: Edges) -> np.ndarray:
    """Which of `these` n are near-duplicates of those at their places in the n `others`, as `alike` says: bool (n,)."""
    same = correlation(these.coarse, others.coarse, REACH // 2) >= LIKELY
    asked = np.flatnonzero(same)
    same[asked] = correlation(these.fine[asked], others.fine[asked], REACH) >= SAME
    return same | (_blank(these) & _blank(others))


def verify(i: np.ndarray, j: np.ndarray, squares: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Which pairs of images by number, int64 (m,) each, are near-duplicates: bool (m,).

    `squares` takes ascending numbers, each once, to uint8 (k, 32, 32, 3); it is called for some thousands at a time.
    """
    same = np.empty(len(i), bool)
    with Progress("comparing pixels", len(i), "pairs", silent=len(i) <= PAIRS) as progress:
        for start in range(0, len(i), PAIRS):
            part = slice(start, start + PAIRS)
            numbers, places = np.unique(np.stack([i[part], j[part]]), return_inverse=True)
            seen = edges(squares(numbers))
            ours, theirs = (Edges(seen.coarse[at], seen.fine[at]) for at in places.reshape(2, -1))
            same[part] = alike_in_pairs(ours, theirs)
            progress.advance(len(ours.fine))
    return same


def correlation(these: np.ndarray, others: np.ndarray, reach: int) -> np.ndarray:
    """Of each pair's gradients, (m, s, s, 2), at the best displacement by up to `reach` pixels: (m,)."""
    best = np.full(len(these), -1.0, np.float32)
    centres = _centre(these, reach)
    for moved in _displaced(others, reach):
        np.maximum(best, np.einsum("ij,ij->i", centres, moved), out=best)
    return best


def _blank(these: Edges) -> np.ndarray:
    """Which of them are without any edges."""
    blank: np.ndarray = np.abs(these.fine).mean((1, 2, 3)) < BLANK
    return blank


def _centre(gradients: np.ndarray, reach: int) -> np.ndarray:
    """All but a frame of `reach`, which may be displaced out of the other image."""
    return _unit(gradients[:, reach:-reach, reach:-reach])


def _displaced(gradients: np.ndarray, reach: int) -> Iterator[np.ndarray]:
    """Every window of the centre's size."""
    side = gradients.shape[1] - 2 * reach
    for top in range(2 * reach + 1):
        for left in range(2 * reach + 1):
            yield _unit(gradients[:, top : top + side, left : left + side])


def _gradients(grey: np.ndarray) -> np.ndarray:
    """Central differences to the right and down, (n, s, s) to (n, s - 2, s - 2, 2), by their roots.

    By themselves, one strong edge, such as a horizon or a frame, would decide alone.
    """
    right, down = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2], grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    both = np.stack([right, down], axis=-1)
    return np.copysign(np.sqrt(np.abs(both) + NOISE) - NOISE**0.5, both)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Each flattened and of length 1, or 0 where it is 0."""
    flat = vectors.reshape(len(vectors), math.prod(vectors.shape[1:]))
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
