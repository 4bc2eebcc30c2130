"""The linear L2-SVM in the primal: Newton's method for all classes at once, certified by the duality gap.

For each class k, against the rest, with targets y in {-1, +1} and the bias as a weight on a constant feature:

    P(w) = 1/2 |w|^2 + C sum_i max(0, 1 - y_i w.x_i)^2

P is convex, once differentiable and piecewise quadratic, so Newton's method with an exact line search ends in a
handful of steps (Keerthi and DeCoste 2005). The Newton systems (I + 2C X'DX) p = -g, D marking the rows inside the
margin, are solved by preconditioned conjugate gradients, roughly: of features in bf16 with products in bf16. Every pass
over the features serves all classes, and makes both products of a Hessian with them.

The answer carries its own proof. With slacks s = max(0, 1 - y f), a = 2C s is feasible for the dual

    D(a) = sum_i a_i - 1/2 |sum_i a_i y_i x_i|^2 - sum_i a_i^2 / (4C),

so P(w) - max_t D(t a) bounds the distance to the optimum from above. The solver stops on that gap, relative to P, or
to what any weights can gain on none at the most, if that is less: where C is small, P(0) is itself within a thousandth
of the optimum, and w = 0 predicts nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganpipe.evaluation.design import Design
from ganpipe.evaluation.preconditioner import Preconditioner, choose

FORCING = 0.1  # share of its right-hand side to which a Newton system is solved
PRODUCTS = 100  # at most, for one Newton system
STALLED = 1e-6  # relative decrease of an objective below which single precision has given all it can
ROUNDING = 1e-13  # share of an objective below which a gap, a difference of two of its size, is none
TINY = 1e-300


@dataclass(frozen=True)
class Solution:
    """Weights (columns, k) float64; (k,) each: P of each class, the bound P - D, and what that is measured by."""

    weights: Tensor
    objective: Tensor
    gap: Tensor
    scale: Tensor
    steps: int
    products: int  # of a Hessian with all open classes' directions: passes over the features, or over their kernel
    coefficients: Tensor | None = None  # of the rows (n, k), where they were what was solved for

    @property
    def relative_gap(self) -> float:
        """The largest of the classes' gaps, each relative to its scale."""
        return float((self.gap / self.scale.clamp_min(TINY)).max())


def solve(
    design: Design, targets: Tensor, C: float, tol: float, max_steps: int, start: Solution | None = None
) -> Solution:
    """Minimise P for every column of `targets` (own rows, k), -1 or +1, until each relative gap is at most `tol`.

    `start` is another C's solution. Where single precision no longer brings the gap down, the solver goes on in
    double precision; where it does, the gap is still made sure of in double precision.
    """
    weights = torch.zeros(design.columns, targets.shape[1], dtype=torch.float64, device=design.device)
    if start is not None:
        weights.copy_(start.weights)
    now = evaluate(design, targets, C, weights)
    made_from, conditioner = None, None
    steps, products, stuck = 0, 0, False
    while True:
        open_ = ~(now.gap <= tol * now.scale)  # also where there is no number
        finished = steps == max_steps or not open_.any()
        if (finished or stuck) and design.dtype != torch.float64:
            design, made_from, stuck = design.doubled(), None, False
            now = evaluate(design, targets, C, now.weights)
            continue
        if finished:
            return Solution(now.weights, now.objective, now.gap, now.scale, steps, products)
        kind = choose(design)
        if conditioner is None or kind is not made_from:
            made_from, conditioner = kind, kind(design, 2 * C * _share_inside(design, now.slack))
        direction, moved, used = _newton_direction(
            design, (now.pull - now.weights)[:, open_], now.slack[:, open_] > 0, C, conditioner
        )
        steps, products = steps + 1, products + used
        slope, curve = (now.weights[:, open_] * direction).sum(0), direction.square().sum(0)
        length = piecewise_minimum(slope, curve, targets[:, open_], now.scores[:, open_], moved, C, design.total)
        weights = now.weights.clone()
        weights[:, open_] += length * direction
        # The scores follow from the weights each time, so that rounding does not add up over steps.
        then = evaluate(design, targets, C, weights)
        stuck = not bool(((now.objective - then.objective) > STALLED * now.objective)[open_].any())
        now = then


@dataclass(frozen=True)
class State:
    """All that follows from some weights (columns, k)."""

    weights: Tensor
    scores: Tensor  # (own rows, k)
    slack: Tensor  # (own rows, k)
    pull: Tensor  # (columns, k): 2C X' (slack targets), at the optimum the weights themselves
    objective: Tensor  # (k,)
    gap: Tensor  # (k,)
    scale: Tensor  # (k,): what the gap is measured by


def evaluate(design: Design, targets: Tensor, C: float, weights: Tensor) -> State:
    """In one pass over the features."""
    scores, pull = design.through(weights, lambda scores, rows: pulls(scores, targets[rows], C))
    slack = (1 - targets * scores).clamp_min_(0)
    losses = C * design.total(slack.square())
    objective = 0.5 * weights.square().sum(0) + losses
    dual = ray(2 * C * design.total(slack), 0.5 * pull.square().sum(0) + losses)
    return State(weights, scores, slack, pull, objective, *bound(objective, dual, C * design.rows))


def _share_inside(design: Design, slack: Tensor) -> float:
    """Of rows inside the margin, over all classes."""
    return float(design.total((slack > 0).double()).sum()) / (design.rows * slack.shape[1])


def pulls(scores: Tensor, targets: Tensor, C: float) -> Tensor:
    """How much each row pulls the weights along itself: 2C slack target."""
    return 2 * C * (1 - targets * scores).clamp_min_(0) * targets


def bound(objective: Tensor, dual: Tensor, nothing: float) -> tuple[Tensor, Tensor]:
    """The gaps, and what they are measured by; `nothing` is the objective of no weights at all."""
    gap = objective - dual
    return torch.where(gap <= ROUNDING * objective, 0.0, gap), torch.minimum(objective, nothing - dual)


def ray(linear: Tensor, quadratic: Tensor) -> Tensor:
    """The highest point of the dual t linear - t^2 quadratic over t."""
    return linear.square() / (4 * quadratic.clamp_min(TINY))


def _newton_direction(
    design: Design, rhs: Tensor, active: Tensor, C: float, conditioner: Preconditioner
) -> tuple[Tensor, Tensor, int]:
    """Conjugate gradients on (I + 2C X'DX) p = rhs, all columns together, each with its own D: p, X p, products."""
    solution, moved = torch.zeros_like(rhs), torch.zeros(active.shape, dtype=rhs.dtype, device=rhs.device)
    residual, goal = rhs.clone(), FORCING * rhs.norm(dim=0)
    search = z = conditioner(residual)
    rho = (residual * z).sum(0)
    for count in range(1, PRODUCTS + 1):  # noqa: B007 (returned below)
        image, curved = design.through(search, lambda scores, rows: active[rows] * scores, rough=True)
        curved = search + 2 * C * curved
        step = rho / (search * curved).sum(0).clamp_min(TINY)
        solution += step * search
        moved += step * image
        residual -= step * curved
        # A column that has arrived stays where it is: its numbers would only fade away.
        residual *= residual.norm(dim=0) > goal
        if not residual.any():
            break
        z = conditioner(residual)
        rho, before = (residual * z).sum(0), rho
        search = z + rho / before.clamp_min(TINY) * search
    return solution, moved, count


def _over_rows(values: Tensor) -> Tensor:
    return values.sum(-2)


def piecewise_minimum(
    linear: Tensor,
    curve: Tensor,
    targets: Tensor,
    scores: Tensor,
    moved: Tensor,
    C: float,
    total: Callable[[Tensor], Tensor] = _over_rows,
) -> Tensor:
    """The t >= 0 that minimises t linear + t^2/2 curve + C sum max(0, 1 - y (scores + t moved))^2, each (..., k).

    With slope and curvature of half the squared weights along a direction: an exact line search, by Newton's method.
    """
    length, curve = torch.ones_like(linear), curve.clamp_min(0)  # below 0 by rounding, where a kernel is singular
    for _ in range(30):
        slack = (1 - targets * (scores + length[..., None, :] * moved)).clamp_min_(0)
        slope = linear + length * curve - 2 * C * total(slack * targets * moved)
        bend = curve + 2 * C * total((slack > 0) * moved.square())
        change = slope / bend.clamp_min(TINY)
        length = length - change
        if bool((change.abs() <= 1e-6 * length.abs()).all()):
            break
    return length
