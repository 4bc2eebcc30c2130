"""The same SVM where rows are fewer than features: one number a row instead of one a feature, in double precision.

The optimum is a sum of the rows, w = X' b, so that only their kernel K = XX' is needed. Newton's system becomes
(I + 2C D K) p = r - b with r = 2C slack target; D marks the rows inside the margin. Outside, p = -b; inside it is
symmetric, and conjugate gradients solve it for all classes, and for a whole stack of problems, at once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ganpipe.evaluation.design import Design
from ganpipe.evaluation.newton import TINY, Solution, bound, evaluate, piecewise_minimum, pulls, ray

LARGEST = 5000  # rows; their kernel takes 200 MB
FORCING = 1e-8  # of a Newton system; in double precision, and so well preconditioned, that costs few products
PRODUCTS = 500
PATIENCE = 50  # products without a smaller residual: rounding allows no more


def fits(design: Design) -> bool:
    """Whether this is the way to solve it: not where processes share the rows, whose kernel none of them has."""
    return design.places is None and design.rows < design.columns and design.rows <= LARGEST


def solve(
    design: Design, targets: Tensor, C: float, tol: float, max_steps: int, start: Solution | None = None
) -> Solution:
    """As `newton.solve`. The objective and the gap are those of the weights, in double precision."""
    begin = _begin(start, targets)
    coefficients, *_, steps, products = solve_stack(design.kernel(), targets, C, tol, max_steps, begin)
    double = design.doubled()
    weights = double.transposed(coefficients)
    found = evaluate(double, targets, C, weights)
    return Solution(weights, found.objective, found.gap, found.scale, steps, products, coefficients)


def solve_many(
    designs: Sequence[Design],
    targets: Tensor,
    C: float,
    tol: float,
    max_steps: int,
    starts: Sequence[Solution | None],
) -> list[Solution]:
    """As many problems of one shape at once, with `targets` (problems, n, k). Gaps are those of the coefficients."""
    kernels = torch.stack([design.kernel() for design in designs])
    begin = torch.stack([_begin(start, target) for start, target in zip(starts, targets, strict=True)])
    found, objective, gap, scale, steps, products = solve_stack(kernels, targets, C, tol, max_steps, begin)
    return [
        Solution(design.transposed(found[i]), objective[i], gap[i], scale[i], steps, products, found[i])
        for i, design in enumerate(designs)
    ]


def _begin(start: Solution | None, targets: Tensor) -> Tensor:
    """Coefficients to begin from: none where there are none, or of other rows."""
    begun = None if start is None else start.coefficients
    return torch.zeros_like(targets) if begun is None or begun.shape != targets.shape else begun


def solve_stack(
    kernel: Tensor, targets: Tensor, C: float, tol: float, max_steps: int, b: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int]:
    """For kernels (..., n, n) and targets (..., n, k): coefficients of the rows (..., n, k), objectives, gaps and their
    scales (..., k), and how many Newton steps and products it took from the coefficients `b`.
    """
    factor: Tensor | None = None
    products = 0
    for step in range(max_steps + 1):
        scores = kernel @ b
        slack = (1 - targets * scores).clamp_min_(0)
        r, losses = pulls(scores, targets, C), C * slack.square().sum(-2)
        objective = 0.5 * (b * scores).sum(-2) + losses
        dual = ray(2 * C * slack.sum(-2), 0.5 * (r * (kernel @ r)).sum(-2) + losses)
        gap, scale = bound(objective, dual, C * targets.shape[-2])
        open_ = ~(gap <= tol * scale)  # also where there is no number
        if not open_.any() or step == max_steps:
            return b, objective, gap, scale, step, products
        if factor is None:
            factor = _factor(kernel, 2 * C * float((slack > 0).double().mean()))
        active = (slack > 0).double()
        # A finished problem gets a zero right-hand side: its direction is zero and it stays where it is.
        direction, used = _direction(
            kernel, (r - b) * open_[..., None, :], active, C, factor, (-b) * open_[..., None, :]
        )
        products += used
        moved = kernel @ direction
        length = piecewise_minimum((b * moved).sum(-2), (direction * moved).sum(-2), targets, scores, moved, C)
        b = b + length[..., None, :] * direction
    raise AssertionError("the loop returns at its last step")


def _direction(
    kernel: Tensor, rhs: Tensor, active: Tensor, C: float, factor: Tensor, outside: Tensor
) -> tuple[Tensor, int]:
    fixed = (1 - active) * outside
    residual = active * (rhs - 2 * C * (kernel @ fixed))
    solution = torch.zeros_like(rhs)
    goal = FORCING * residual.norm(dim=-2)
    search = z = active * torch.cholesky_solve(residual, factor)
    rho = (residual * z).sum(-2, keepdim=True)
    count, least = 0, residual.norm(dim=-2)
    since = torch.zeros_like(least)
    while count < PRODUCTS and bool(residual.any()):
        image = search + 2 * C * active * (kernel @ search)
        count += 1
        step = rho / (search * image).sum(-2, keepdim=True).clamp_min(TINY)
        solution += step * search
        residual = residual - step * image
        size = residual.norm(dim=-2)
        since = torch.where(size < least, 0, since + 1)
        least = torch.minimum(least, size)
        # A column that has arrived, or gets no nearer, stays where it is: its numbers would only fade away.
        residual *= ((size > goal) & (since < PATIENCE))[..., None, :]
        z = active * torch.cholesky_solve(residual, factor)
        rho, before = (residual * z).sum(-2, keepdim=True), rho
        search = z + rho / before.clamp_min(TINY) * search
    return solution + fixed, count


def _factor(kernel: Tensor, c: float) -> Tensor:
    """Cholesky's of I + c K, the identity enlarged where it would drown in rounding."""
    diagonal = kernel.diagonal(dim1=-2, dim2=-1)
    ridge = (1e-13 * c * diagonal.sum(-1, keepdim=True)).clamp_min(1.0)
    shifted = c * kernel
    shifted.diagonal(dim1=-2, dim2=-1).add_(ridge)
    factor: Tensor = torch.linalg.cholesky(shifted)
    return factor
