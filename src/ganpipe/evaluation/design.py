"""Features as a linear machine sees them: products with a matrix that may be larger than memory, block by block."""

import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from ganpipe.runtime import any_of, sum_over_processes, world

BLOCK = 1 << 24  # bytes of a block of rows: few enough to stay in a cache between the two products made with it
ON_GPU = 1 << 29  # there each block costs its launches, and no cache is that large
SMALL = 1 << 20  # numbers in the features up to which products are in double precision, at no cost worth counting

Values = TypeVar("Values", np.ndarray, Tensor)

# Of the scores (rows, k) of a block and which rows they are, what is to be multiplied with these rows.
Response = Callable[[Tensor, slice], Tensor]


class Rows(NamedTuple):
    """Features (n, d) of images. Where processes share them, this one holds those at `places`, ascending, alone."""

    features: Tensor
    places: np.ndarray | None = None

    @property
    def device(self) -> torch.device:
        return self.features.device

    @property
    def columns(self) -> int:
        return self.features.shape[1]

    def split(self, at: int) -> tuple["Rows", "Rows"]:
        """Those before `at`, and the others; views."""
        if self.places is None:
            return Rows(self.features[:at]), Rows(self.features[at:])
        here = int(np.searchsorted(self.places, at))
        first, last = self.places[:here], self.places[here:] - at
        return Rows(self.features[:here], first), Rows(self.features[here:], last)

    def of_columns(self, columns: slice) -> "Rows":
        """Some of the features."""
        return Rows(self.features[:, columns], self.places)

    def design(self) -> "Design":
        return Design(self.features, places=self.places)

    def take(self, rows: np.ndarray) -> Tensor:
        """Those rows (len(rows), d), in every process."""
        if self.places is None:
            return self.features[torch.from_numpy(rows).to(self.device)]
        taken = torch.zeros(len(rows), self.columns, dtype=self.features.dtype, device=self.device)
        to, found = _found(self.places, rows)
        taken[torch.from_numpy(to).to(self.device)] = self.features[torch.from_numpy(found).to(self.device)]
        return sum_over_processes(taken)


def all_rows(features: Tensor | Rows) -> Rows:
    """Features that are a tensor are held whole."""
    return features if isinstance(features, Rows) else Rows(features)


def _found(places: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of `rows` are among `places`, and where there."""
    at = np.searchsorted(places, rows).clip(max=len(places) - 1)
    to = np.flatnonzero(places[at] == rows)
    return to, at[to]


class Design:
    """Features (n, d) with a constant appended: the products that the solver needs.

    `features` may be a tensor on any device, an array or a memory map, in half, bf16, single or double precision. They
    are never copied whole: blocks of rows are converted one at a time. Products are in single precision (in double for
    `SMALL` features, or where `dtype` says so; rough ones of bf16 features in that) and sums over blocks in double, but
    for those of `gram`. `constant` 0 leaves the bias out. Raises ValueError where there is no matrix or where it holds
    NaN or infinity.

    Processes may share the rows: then `features` are those at `places` of all `rows`, and each process gets the same
    sums and scores, all of them calling the same methods in the same order. What is said of "own" rows is of these.
    """

    def __init__(
        self,
        features: Tensor | np.ndarray,
        constant: float = 1.0,
        dtype: torch.dtype | None = None,
        places: np.ndarray | None = None,
    ) -> None:
        if features.ndim != 2 or 0 in features.shape:
            raise ValueError(f"features must be a matrix with rows and columns, not of shape {tuple(features.shape)}")
        self.features, self.constant, self.places = _as_tensor(features), constant, places
        self.rows, self.columns = int(self.shared(torch.tensor(features.shape[0]))), features.shape[1] + 1
        small = self.rows * features.shape[1] <= SMALL
        self.dtype = dtype or (torch.float64 if small else torch.float32)
        self.finite = False
        self.passes = 0  # over the features, each for two products with them
        self._gram: Tensor | None = None
        self._kernel: Tensor | None = None
        self._samples: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def device(self) -> torch.device:
        return self.features.device

    @property
    def nbytes(self) -> int:
        """Of the features of all rows, as they are held."""
        return self.rows * (self.columns - 1) * self.features.element_size()

    def shared(self, total: Tensor) -> Tensor:
        """A sum over own rows as the sum over all: the one place where processes meet."""
        return total if self.places is None else sum_over_processes(total)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all rows of values (own rows, ...)."""
        return self.shared(values.sum(0))

    def own(self, values: Values) -> Values:
        """Of values (rows, ...) those of own rows."""
        return values if self.places is None else values[self.places]

    def everywhere(self, values: Tensor) -> Tensor:
        """Values (own rows, ...) as (rows, ...)."""
        if self.places is None:
            return values
        every = torch.zeros(self.rows, *values.shape[1:], dtype=values.dtype, device=values.device)
        every[torch.from_numpy(self.places).to(values.device)] = values
        return self.shared(every)

    def doubled(self) -> "Design":
        """The same in double precision."""
        design = Design(self.features, self.constant, torch.float64, self.places)
        design.finite = self.finite
        return design

    def check(self) -> None:
        """Raise ValueError where a feature is NaN or infinite."""
        if not self.finite:
            broken = not all(bool(torch.isfinite(block).all()) for _, block in self.blocks())
            if any_of(broken) if self.places is not None else broken:
                raise ValueError("features hold NaN or infinity")
        self.finite = True

    def blocks(self, rough: bool = False) -> Iterator[tuple[slice, Tensor]]:
        """Own rows and their numbers, in order. A block's memory is used again for the next.

        `rough` leaves bf16 as it is, where single precision would do.
        """
        dtype = torch.bfloat16 if rough and self._may_be_rough else self.dtype
        most = ON_GPU if self.device.type == "cuda" else BLOCK
        step = max(1, most // (self.features.shape[1] * dtype.itemsize))
        room: Tensor | None = None
        count = len(self.features)
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            block = self.features[rows]
            if block.dtype != dtype:
                if room is None:
                    room = torch.empty(step, block.shape[1], dtype=dtype, device=self.device)
                block = room[: len(block)].copy_(block)
            yield rows, block

    def largest_norm(self) -> float:
        """Of a row, its constant included."""
        largest = max(float(block.double().square().sum(1).max()) for _, block in self.blocks())
        if self.places is not None:
            rank, size = world()
            largest = float(self.shared(torch.eye(size, dtype=torch.float64)[rank] * largest).max())
        return float((largest + self.constant**2) ** 0.5)

    def scores(self, weights: Tensor) -> Tensor:
        """(columns, k) float64 weights, the bias last, to (n, k) float64 scores."""
        return self.everywhere(torch.cat([scores for _, _, scores in self._scored(weights)]))

    @property
    def _may_be_rough(self) -> bool:
        return self.features.dtype == torch.bfloat16 and self.dtype == torch.float32

    def _scored(self, weights: Tensor, rough: bool = False) -> Iterator[tuple[slice, Tensor, Tensor]]:
        feature_weights, bias = weights[:-1].T.contiguous(), self.constant * weights[-1]
        for rows, block in self.blocks(rough):
            # Transposed so, it is on a CPU nearly twice as fast as block @ weights.
            yield rows, block, linear(block, feature_weights.to(block.dtype)).double() + bias

    def through(self, weights: Tensor, response: Response, rough: bool = False) -> tuple[Tensor, Tensor]:
        """Scores of own rows, and X' times `response(scores of a block, its rows)` (columns, k), in one pass.

        `rough` is for a direction, not for what is claimed of it: of bf16 features both products are in bf16, and
        right to some 3 digits.
        """
        self.passes += 1
        every, total = [], torch.zeros(weights.shape[1], self.columns, dtype=torch.float64, device=self.device)
        for rows, block, scores in self._scored(weights, rough):
            pulls = response(scores, rows)
            total[:, :-1] += pulls.T.contiguous().to(block.dtype) @ block  # on a CPU twice as fast as block.T @ pulls
            total[:, -1] += self.constant * pulls.sum(0)
            every.append(scores)
        return torch.cat(every), self.shared(total).T

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
            gram = self.shared(gram)
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
            rows = torch.zeros(len(order), self.columns, dtype=self.dtype, device=self.device)
            to, found = (range(len(order)), order) if self.places is None else _found(self.places, order)
            for room, row in zip(to, found, strict=True):  # one at a time: together they would be held twice
                rows[room, :-1] = self.features[row]
            rows = self.shared(rows)
            rows[:, -1] = self.constant
            self._samples[count] = rows, rows @ rows.T
        return self._samples[count]


def _as_tensor(features: Tensor | np.ndarray) -> Tensor:
    if isinstance(features, Tensor):
        return features
    with warnings.catch_warnings():
        # A memory map opened for reading is not writable, of which torch warns; nothing here writes.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(features if min(features.strides) > 0 else np.ascontiguousarray(features))
