"""The linear L2-SVM of the paper's evaluation, solved in the primal for all classes at once and certified.

For each class k, against the rest, with targets y in {-1, +1} and the bias as a weight on a constant feature 1
(liblinear's `LinearSVC` with its defaults):

    P(w) = 1/2 |w|^2 + C sum_i max(0, 1 - y_i w.x_i)^2

P is convex, once differentiable and piecewise quadratic, so Newton's method with an exact line search ends in a
handful of steps (Keerthi and DeCoste 2005). Every product with the data is shared by all classes. The Newton systems
(I + 2C X'DX) p = -g, D marking the rows inside the margin, are solved by conjugate gradients, preconditioned by the
same matrix with D replaced by the mean share of marked rows; that matrix is factored once for each C, from a Gram
matrix made once, on the shorter side of X.

The answer carries its own proof. With slacks s = max(0, 1 - y f), a = 2C s is feasible for the dual

    D(a) = sum_i a_i - 1/2 |sum_i a_i y_i x_i|^2 - sum_i a_i^2 / (4C),

so P(w) - max_t D(t a) bounds the distance to the optimum from above. The fit stops on that gap, relative to P.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

ROWS = 8192  # rows taken through single-precision products at a time
SMALL = 1 << 20  # numbers in the features up to which products are in double precision, at no cost worth counting
# Eigenvalues of the Gram matrix below this share of its trace are rounding, and are lifted to it before it is factored.
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-13}
# A Newton system is solved to this share of its right-hand side. On 12,000 x 7,168 features of a discriminator 0.1 took
# 51 products at C = 1e-3, 0.01 took 77; small but hardly regularised problems stall at 0.1.
FORCING = {torch.float32: 0.1, torch.float64: 0.01}


class Design:
    """Features (n, d) with a constant 1 appended: the products that the solver needs, and its Gram matrix.

    Rows may be stored in half or single precision; products are in single precision (double for `SMALL` problems) and
    sums over blocks of rows in double.
    Share one between fits of different C: the Gram matrix is made once. It only preconditions, so one of a random
    `part` of the same rows, scaled, serves as well where that is at hand.
    """

    def __init__(self, features: Tensor, part: "Design | None" = None) -> None:
        if features.ndim != 2 or 0 in features.shape:
            raise ValueError(f"features must be a matrix with rows and columns, not of shape {tuple(features.shape)}")
        self.features = features
        self.dtype = torch.float64 if features.numel() <= SMALL else torch.float32
        self.rows, self.columns = features.shape[0], features.shape[1] + 1
        self._gram: Tensor | None = None
        if part is not None and not part.wide:
            self._gram = part.gram().to(self.dtype) * (self.rows / part.rows)
        for block in self._blocks():
            if not torch.isfinite(block).all():
                raise ValueError("features hold NaN or infinity")

    def _blocks(self) -> Iterator[Tensor]:
        for block in torch.split(self.features, ROWS):
            yield block.to(self.dtype)

    def scores(self, weights: Tensor) -> Tensor:
        """(columns, k) float64 weights to (n, k) float64 scores, the last row of the weights being the bias."""
        single = weights.to(self.dtype)
        return torch.cat([(block @ single[:-1]).add_(single[-1]) for block in self._blocks()]).double()

    def transposed(self, rows: Tensor) -> Tensor:
        """(n, k) float64 to (columns, k) float64: X' rows."""
        single = rows.to(self.dtype)
        total = torch.zeros(self.columns, rows.shape[1], dtype=torch.float64, device=rows.device)
        for block, part in zip(self._blocks(), torch.split(single, ROWS), strict=True):
            total[:-1] += (part.T.contiguous() @ block).T.double()  # twice as fast on a CPU as block.T @ part
        total[-1] = rows.sum(0)
        return total

    @property
    def wide(self) -> bool:
        """Whether there are fewer rows than columns, so that the Gram matrix is XX' and not X'X."""
        return self.rows < self.columns

    def gram(self) -> Tensor:
        """X'X (columns, columns), or XX' (n, n) when `wide`; in the precision of the products."""
        if self._gram is None:
            if self.wide:
                whole = self.features.to(self.dtype)
                self._gram = whole @ whole.T + 1.0
            else:
                self._gram = self._tall_gram()
        return self._gram

    def _tall_gram(self) -> Tensor:
        # Only the blocks on and below the diagonal: half the work of the full product.
        d = self.columns - 1
        gram = torch.zeros(self.columns, self.columns, dtype=self.dtype, device=self.features.device)
        edges = torch.linspace(0, d, min(d, 8) + 1).long().tolist()
        for block in self._blocks():
            for start, stop in pairwise(edges):
                gram[start:d, start:stop].addmm_(block[:, start:].T, block[:, start:stop])
            gram[d, :d] += block.sum(0)
        gram[d, d] = self.rows
        return torch.tril(gram) + torch.tril(gram, -1).T


class _Preconditioner:
    """Solves (I + c X'X) p = r, but for a factor and for what rounding hides, which conjugate gradients forgive."""

    def __init__(self, design: Design, c: float) -> None:
        gram = design.gram()
        # The ridge that is lifted to is divided out, so that one form serves both: a preconditioner's scale is free.
        ridge = max(1.0, ROUNDING[design.dtype] * c * float(gram.diagonal().double().sum()))
        self.design, self.c = design, c / ridge
        shifted = gram * self.c
        shifted.diagonal().add_(1.0)
        self.factor = torch.linalg.cholesky(shifted)

    def __call__(self, residual: Tensor) -> Tensor:
        if not self.design.wide:
            return torch.cholesky_solve(residual.to(self.design.dtype), self.factor).double()
        # Woodbury: (I + cX'X)^-1 r = r - c X' (I + cXX')^-1 X r.
        inner = torch.cholesky_solve(self.design.scores(residual).to(self.design.dtype), self.factor).double()
        return residual - self.c * self.design.transposed(inner)


@dataclass(frozen=True)
class Solution:
    """Weights (columns, k) float64; `gap` and `objective` (k,): the bound P - D of each class, and P itself."""

    weights: Tensor
    objective: Tensor
    gap: Tensor
    newton_steps: int
    products: int

    @property
    def relative_gap(self) -> float:
        """The largest of the classes' gaps, each relative to its objective."""
        return float((self.gap / self.objective.clamp_min(1e-300)).max())


def solve(
    design: Design, targets: Tensor, C: float, tol: float, max_steps: int, start: Tensor | None = None
) -> Solution:
    """Minimise P for every column of `targets` (n, k), entries -1 or +1, until each relative gap is at most `tol`."""
    weights = torch.zeros(design.columns, targets.shape[1], dtype=torch.float64, device=targets.device)
    if start is not None:
        weights.copy_(start)
    scores = design.scores(weights)
    precondition: _Preconditioner | None = None
    products = 0
    for step in range(max_steps + 1):
        slack = (1 - targets * scores).clamp_min(0)
        pull = design.transposed(2 * C * slack * targets)
        objective, gap = _certificate(weights, slack, pull, C)
        open_ = gap > tol * objective
        if not open_.any() or step == max_steps:
            return Solution(weights, objective, gap, step, products)
        if precondition is None:
            precondition = _Preconditioner(design, 2 * C * float((slack > 0).double().mean()))
        # A finished class gets a zero right-hand side: its direction is zero and it stays where it is.
        direction, used = _newton_direction(design, (pull - weights) * open_, slack > 0, C, precondition)
        products += used
        moved = design.scores(direction)
        length = _line_search(weights, direction, targets, scores, moved, C)
        weights = weights + length * direction
        # The scores follow from the weights each time, so that rounding does not add up over steps.
        scores = design.scores(weights)
    raise AssertionError("the loop returns at its last step")


def _certificate(weights: Tensor, slack: Tensor, pull: Tensor, C: float) -> tuple[Tensor, Tensor]:
    """P and the gap to the best dual point on the ray through a = 2C slack, each (k,); `pull` is sum a y x."""
    primal = 0.5 * weights.square().sum(0) + C * slack.square().sum(0)
    linear = 2 * C * slack.sum(0)
    quadratic = 0.5 * pull.square().sum(0) + C * slack.square().sum(0)
    dual = linear.square() / (4 * quadratic.clamp_min(1e-300))  # max over t >= 0 of t linear - t^2 quadratic
    return primal, (primal - dual).clamp_min(0)


def _newton_direction(
    design: Design, rhs: Tensor, active: Tensor, C: float, precondition: _Preconditioner
) -> tuple[Tensor, int]:
    """Preconditioned conjugate gradients on (I + 2C X'DX) p = rhs, all columns together, each with its own D."""
    solution = torch.zeros_like(rhs)
    residual = rhs.clone()
    z = precondition(residual)
    search = z.clone()
    rho = (residual * z).sum(0)
    goal = FORCING[design.dtype] * rhs.norm(dim=0)
    products = 0
    while products < 50 and bool((residual.norm(dim=0) > goal).any()):
        image = search + 2 * C * design.transposed(active * design.scores(search))
        products += 1
        step = rho / (search * image).sum(0).clamp_min(1e-300)
        solution += step * search
        residual -= step * image
        z = precondition(residual)
        rho, before = (residual * z).sum(0), rho
        search = z + rho / before.clamp_min(1e-300) * search
    return solution, products


def _line_search(
    weights: Tensor, direction: Tensor, targets: Tensor, scores: Tensor, moved: Tensor, C: float
) -> Tensor:
    """The exact minimiser of P along `direction`, for each class: Newton on a convex piecewise quadratic in one t."""
    length = torch.ones(direction.shape[1], dtype=torch.float64, device=direction.device)
    linear, curve = (weights * direction).sum(0), direction.square().sum(0)
    for _ in range(30):
        slack = (1 - targets * (scores + length * moved)).clamp_min(0)
        slope = linear + length * curve - 2 * C * (slack * targets * moved).sum(0)
        bend = curve + 2 * C * ((slack > 0) * moved.square()).sum(0)
        change = slope / bend.clamp_min(1e-300)
        length = length - change
        if bool((change.abs() <= 1e-6 * length.abs()).all()):
            break
    return length


class L2SVM:
    """One-against-the-rest linear SVM with squared hinge loss, with scikit-learn's `LinearSVC` attributes.

    After `fit`: `coef_` (k, d) and `intercept_` (k,) float64 with k = 1 for two classes, `classes_`, `n_iter_`
    (Newton steps), `duality_gap_` (the largest gap of the classes relative to their objectives) and `objective_` (k,).
    Features (n, d) may be numpy arrays or tensors of any floating type, labels (n,) anything that numpy can sort.
    """

    def __init__(self, C: float = 1.0, tol: float = 1e-5, max_iter: int = 100) -> None:
        self.C, self.tol, self.max_iter = C, tol, max_iter

    def fit(
        self, features: np.ndarray | Tensor | Design, labels: np.ndarray | Tensor, start: "L2SVM | None" = None
    ) -> "L2SVM":
        """Fit; `start` is a fitted machine on the same classes and features to begin from. Raises ValueError."""
        if not 0 < self.C < math.inf:
            raise ValueError(f"C must be above 0 and finite, not {self.C}")
        design = features if isinstance(features, Design) else Design(torch.as_tensor(features))
        self.classes_, codes = np.unique(np.asarray(labels), return_inverse=True)
        if len(codes) != design.rows:
            raise ValueError(f"{design.rows} rows of features but {len(codes)} labels")
        if len(self.classes_) < 2:
            raise ValueError(f"the labels hold {len(self.classes_)} class; an SVM needs at least 2")
        device = design.features.device
        columns = 1 if len(self.classes_) == 2 else len(self.classes_)
        wanted = torch.arange(columns, device=device) + (columns == 1)  # of two classes the second is the positive
        targets = torch.where(torch.as_tensor(codes, device=device)[:, None] == wanted, 1.0, -1.0).double()
        solution = solve(design, targets, self.C, self.tol, self.max_iter, None if start is None else start.weights_)
        self.weights_: Tensor = solution.weights
        self.coef_ = solution.weights[:-1].T.cpu().numpy()
        self.intercept_ = solution.weights[-1].cpu().numpy()
        self.objective_ = solution.objective.cpu().numpy()
        self.duality_gap_ = solution.relative_gap
        self.n_iter_, self.products_ = solution.newton_steps, solution.products
        self.n_features_in_ = design.columns - 1
        return self

    def decision_function(self, features: np.ndarray | Tensor | Design) -> np.ndarray:
        """Scores (n, k), or (n,) for two classes, float64."""
        design = features if isinstance(features, Design) else Design(torch.as_tensor(features))
        if design.columns != len(self.weights_):
            raise ValueError(f"fitted on {self.n_features_in_} features, given {design.columns - 1}")
        scores: np.ndarray = design.scores(self.weights_).cpu().numpy()
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, features: np.ndarray | Tensor | Design) -> np.ndarray:
        """The class of the highest score, (n,), in the labels' own type."""
        scores = self.decision_function(features)
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)
        predicted: np.ndarray = self.classes_[best]
        return predicted

    def score(self, features: np.ndarray | Tensor | Design, labels: np.ndarray | Tensor) -> float:
        """Share of correct predictions."""
        return float((self.predict(features) == np.asarray(labels)).mean())
