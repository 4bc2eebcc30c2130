"""What makes conjugate gradients on a Newton system of the SVM converge in few products."""

from collections.abc import Callable

import torch
from torch import Tensor

from ganpipe.evaluation.design import Design

Preconditioner = Callable[[Tensor], Tensor]  # of residuals (columns, k) float64
# Up to so many columns the whole Gram matrix is made and factored; beyond, a sample of rows stands for all of them.
WHOLE = 4096
SAMPLE = 2048
# Eigenvalues of a Gram matrix below this share of its trace are rounding, and are lifted to it before it is factored.
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-13}


def precondition(design: Design, c: float) -> Preconditioner:
    """Solves (I + c X'X) p = r, roughly: from all of X'X, or from that of a sample of the rows, scaled."""
    if design.columns <= min(WHOLE, design.rows):
        return _whole(design, c)
    return _sampled(design, c)


def _whole(design: Design, c: float) -> Preconditioner:
    factor = _factor(design.gram(), c)
    return lambda residual: torch.cholesky_solve(residual.to(design.dtype), factor).double()


def _sampled(design: Design, c: float) -> Preconditioner:
    rows = design.sample(SAMPLE)
    c *= design.rows / len(rows)
    factor = _factor(rows @ rows.T, c)

    def solve(residual: Tensor) -> Tensor:  # Woodbury: (I + cX'X)^-1 r = r - c X' (I + cXX')^-1 X r
        inner = torch.cholesky_solve(rows @ residual.to(rows.dtype), factor)
        return residual - c * (inner.T @ rows).T.double()

    return solve


def _factor(gram: Tensor, c: float) -> Tensor:
    """Cholesky's of I + c gram, the identity enlarged where it would drown in rounding."""
    ridge = max(1.0, ROUNDING[gram.dtype] * c * float(gram.diagonal().double().sum()))
    return torch.linalg.cholesky((c * gram).diagonal_scatter(c * gram.diagonal() + ridge))
