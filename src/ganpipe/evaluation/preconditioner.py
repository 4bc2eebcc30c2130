"""What makes conjugate gradients on a Newton system of the SVM converge in few products."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from ganpipe.evaluation.design import Design

Preconditioner = Callable[[Tensor], Tensor]  # of residuals (columns, k) float64
CHEAP = 1024  # columns up to which the whole Gram matrix is made at once
MEMORY = 0.3  # of the features', that it and its factor may take beyond that
# It costs about as much as so many passes over the features for each column, ten classes at a time.
PASSES_A_COLUMN = 1 / 100
SHARE, FEWEST, MOST = 0.1, 1024, 4096  # of the rows, that stand for all of them otherwise
# Eigenvalues of a Gram matrix below this share of its trace are rounding, and are lifted to it before it is factored.
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-13}


def choose(design: Design) -> Callable[[Design, float], Preconditioner]:
    """What makes a preconditioner for (I + c X'X) p = r from a design and c: all of its rows, or a sample of them.

    All of them need the fewest products, but pay only where many are made: once as much has been spent on products
    (for all values of C together) as the Gram matrix costs, and where there are so many rows that it is small.
    """
    columns = design.columns
    small = 2 * columns**2 * design.dtype.itemsize <= MEMORY * design.nbytes
    if columns <= CHEAP or (small and design.passes > columns * PASSES_A_COLUMN):
        return from_all_rows
    return from_a_sample


def from_all_rows(design: Design, c: float) -> Preconditioner:
    """Cholesky's factor of the system itself, but for which rows are active and for what rounding hides."""
    factor = _factor(design.gram(), c)
    return lambda residual: torch.cholesky_solve(residual.to(factor.dtype), factor).double()


def from_a_sample(design: Design, c: float) -> Preconditioner:
    """The same of a sample of the rows, scaled, by Woodbury's identity: (I + cX'X)^-1 = I - c X' (I + cXX')^-1 X."""
    rows, kernel = design.sample(int(min(max(SHARE * design.rows, FEWEST), MOST)))
    c *= design.rows / len(rows)
    factor = _factor(kernel, c)

    def solve(residual: Tensor) -> Tensor:
        inner = torch.cholesky_solve(linear(rows, residual.T.contiguous().to(rows.dtype)), factor)
        return residual - c * (inner.T @ rows).T.double()

    return solve


def _factor(gram: Tensor, c: float) -> Tensor:
    """Cholesky's of I + c gram, the identity enlarged where it would drown in rounding."""
    ridge = max(1.0, ROUNDING[gram.dtype] * c * float(gram.diagonal().double().sum()))
    shifted = c * gram
    shifted.diagonal().add_(ridge)
    return torch.linalg.cholesky(shifted, out=shifted)
