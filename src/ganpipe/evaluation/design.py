"""Features as a linear machine sees them: products with a matrix that may be larger than memory, block by block."""

import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

BLOCK = 1 << 24  # bytes of a block of rows: few enough to stay in a cache between the two products made with it
SMALL = 1 << 20  # numbers in the features up to which products are in double precision, at no cost worth counting

# Of the scores (rows, k) of a block and which rows they are, what is to be multiplied with these rows.
Response = Callable[[Tensor, slice], Tensor]


class Design:
    """Features (n, d) with a constant appended: the products that the solver needs.

    `features` may be a tensor on any device, an array or a memory map, in half, single or double precision. They are
    never copied whole: blocks of rows are converted one at a time. Products are in single precision (in double for
    `SMALL` features, or where `dtype` says so) and sums over blocks in double. `constant` 0 leaves the bias out.
    Raises ValueError where there is no matrix or where it holds NaN or infinity.
    """

    def __init__(self, features: Tensor | np.ndarray, constant: float = 1.0, dtype: torch.dtype | None = None) -> None:
        if features.ndim != 2 or 0 in features.shape:
            raise ValueError(f"features must be a matrix with rows and columns, not of shape {tuple(features.shape)}")
        self.features, self.constant = _as_tensor(features), constant
        self.rows, self.columns = features.shape[0], features.shape[1] + 1
        self.dtype = dtype or (torch.float64 if self.features.numel() <= SMALL else torch.float32)
        self.finite = False
        self.passes = 0  # over the features, each for two products with them
        self._gram: Tensor | None = None
        self._kernel: Tensor | None = None
        self._samples: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def device(self) -> torch.device:
        return self.features.device

    def doubled(self) -> "Design":
        """The same in double precision."""
        design = Design(self.features, self.constant, torch.float64)
        design.finite = self.finite
        return design

    def check(self) -> None:
        """Raise ValueError where a feature is NaN or infinite."""
        if not self.finite and not all(bool(torch.isfinite(block).all()) for _, block in self.blocks()):
            raise ValueError("features hold NaN or infinity")
        self.finite = True

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Rows and their numbers, in order. A block's memory is used again for the next."""
        step = max(1, BLOCK // (self.features.shape[1] * self.dtype.itemsize))
        room: Tensor | None = None
        for start in range(0, self.rows, step):
            rows = slice(start, min(start + step, self.rows))
            block = self.features[rows]
            if block.dtype != self.dtype:
                if room is None:
                    room = torch.empty(step, block.shape[1], dtype=self.dtype, device=self.device)
                block = room[: len(block)].copy_(block)
            yield rows, block

    def largest_norm(self) -> float:
        """Of a row, its constant included."""
        largest = max(float(block.double().square().sum(1).max()) for _, block in self.blocks())
        return float((largest + self.constant**2) ** 0.5)

    def scores(self, weights: Tensor) -> Tensor:
        """(columns, k) float64 weights, the bias last, to (n, k) float64 scores."""
        return torch.cat([scores for _, _, scores in self._scored(weights)])

    def _scored(self, weights: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        feature_weights, bias = weights[:-1].to(self.dtype), self.constant * weights[-1]
        for rows, block in self.blocks():
            yield rows, block, (block @ feature_weights).double() + bias

    def through(self, weights: Tensor, response: Response) -> tuple[Tensor, Tensor]:
        """Scores, and X' times `response(scores of a block, its rows)` (columns, k), in one pass over the features."""
        self.passes += 1
        every, total = [], torch.zeros(weights.shape[1], self.columns, dtype=torch.float64, device=self.device)
        for rows, block, scores in self._scored(weights):
            pulls = response(scores, rows)
            total[:, :-1] += pulls.T.contiguous().to(self.dtype) @ block  # on a CPU twice as fast as block.T @ pulls
            total[:, -1] += self.constant * pulls.sum(0)
            every.append(scores)
        return torch.cat(every), total.T

    def transposed(self, pulls: Tensor) -> Tensor:
        """(n, k) float64 to (columns, k) float64: X' pulls."""
        total = torch.zeros(pulls.shape[1], self.columns, dtype=torch.float64, device=self.device)
        for rows, block in self.blocks():
            total[:, :-1] += pulls[rows].T.contiguous().to(self.dtype) @ block
        total[:, -1] = self.constant * pulls.sum(0)
        return total.T

    def gram(self) -> Tensor:
        """X'X (columns, columns), made once. Only blocks on and below the diagonal are multiplied."""
        if self._gram is None:
            d = self.columns - 1
            gram = torch.zeros(self.columns, self.columns, dtype=self.dtype, device=self.device)
            edges = torch.linspace(0, d, min(d, 8) + 1).long().tolist()
            for _, block in self.blocks():
                for start, stop in pairwise(edges):
                    gram[start:d, start:stop].addmm_(block[:, start:].T, block[:, start:stop])
                gram[d, :d] += self.constant * block.sum(0)
            gram[d, d] = self.constant**2 * self.rows
            for start, stop in pairwise([*edges, self.columns]):  # mirrored in place: it may be a large one
                square = gram[start:stop, start:stop]
                square.copy_(square.tril() + square.tril(-1).T)
                gram[start:stop, stop:] = gram[stop:, start:stop].T
            self._gram = gram
        return self._gram

    def kernel(self) -> Tensor:
        """XX' (n, n) float64, in double precision throughout, made once."""
        if self._kernel is None:
            shape = (self.rows, self.rows)
            self._kernel = torch.full(shape, self.constant**2, dtype=torch.float64, device=self.device)
            for part in torch.split(self.features, max(1, BLOCK // (self.rows * torch.float64.itemsize)), dim=1):
                columns = part.double()
                self._kernel.addmm_(columns, columns.T)
        return self._kernel

    def sample(self, count: int) -> tuple[Tensor, Tensor]:
        """`count` of the rows (all, where there are no more), the constant last, and their kernel; made once."""
        if count not in self._samples:
            order = np.sort(np.random.default_rng(0).permutation(self.rows)[:count])
            rows = torch.full((len(order), self.columns), self.constant, dtype=self.dtype, device=self.device)
            for room, row in zip(rows, order.tolist(), strict=True):  # one at a time: together they would be held twice
                room[:-1] = self.features[row]
            self._samples[count] = rows, rows @ rows.T
        return self._samples[count]


def _as_tensor(features: Tensor | np.ndarray) -> Tensor:
    if isinstance(features, Tensor):
        return features
    with warnings.catch_warnings():
        # A memory map opened for reading is not writable, of which torch warns; nothing here writes.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(features if min(features.strides) > 0 else np.ascontiguousarray(features))
