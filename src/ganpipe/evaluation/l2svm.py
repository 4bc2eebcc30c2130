"""The linear L2-SVM of the paper's evaluation, as an estimator of scikit-learn.

`newton` says what is solved and why the answer can be trusted; `sample_space` solves it where there are few rows.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganpipe.evaluation import newton, sample_space
from ganpipe.evaluation.design import Design
from ganpipe.evaluation.newton import Solution

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator, ClassifierMixin
else:
    try:
        from sklearn.base import BaseEstimator, ClassifierMixin
    except ImportError:  # a bare GPU machine: tensors can be fitted all the same
        BaseEstimator, ClassifierMixin = type("BaseEstimator", (), {}), type("ClassifierMixin", (), {})

Features = np.ndarray | Tensor | Design
PATIENCE = 20  # Newton steps
PATH = 100.0  # times C, from one problem of a path to the next
FADED = 1e-2  # C times a squared norm, at which every slack is still near 1
PRECISIONS = [np.float64, np.float32, np.float16]  # that are taken as they are


class L2SVM(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """One-against-the-rest linear SVM with squared hinge loss, with scikit-learn's `LinearSVC` attributes.

    After `fit`: `coef_` (k, d) and `intercept_` (k,) float64 with k = 1 for two classes, `classes_`, `n_iter_`
    (Newton steps), `duality_gap_` (the largest of the classes' gaps, each relative to its scale) and `objective_` (k,).
    Features (n, d) may be numpy arrays, memory maps or tensors of any floating type, labels (n,) anything that numpy
    can sort. `tol` is the relative duality gap to stop at.
    """

    def __init__(self, C: float = 1.0, *, fit_intercept: bool = True, tol: float = 1e-5, max_iter: int = 300) -> None:
        self.C, self.fit_intercept, self.tol, self.max_iter = C, fit_intercept, tol, max_iter

    weights_: Tensor
    _found: Solution

    def fit(self, X: Features, y: np.ndarray | Tensor, start: "L2SVM | None" = None) -> "L2SVM":
        """Fit; `start` is a fitted machine on the same classes and features to begin from. Raises ValueError.

        A `Design` may be shared between fits of different C, which then share what is made from its features. Where
        processes share its rows, `y` is of all rows, and each process gets the same machine.
        """
        if not 0 < self.C < math.inf:
            raise ValueError(f"C must be above 0 and finite, not {self.C}")
        if y is None:
            raise ValueError("L2SVM requires y to be passed, but the target y is None")
        if not isinstance(X, Design | Tensor):
            X, y = self._validated(X, y)
        design = self._design(X)
        design.check()
        self.classes_, codes = np.unique(_on_the_host(y), return_inverse=True)
        if len(codes) != design.rows:
            raise ValueError(f"{design.rows} rows of features but {len(codes)} labels")
        if len(self.classes_) < 2:
            raise ValueError(f"the labels hold {len(self.classes_)} class; an SVM needs at least 2 classes")
        targets = one_against_the_rest(design.own(codes), len(self.classes_), design.device)
        found = solve(design, targets, self.C, self.tol, self.max_iter, None if start is None else start._found)
        self._found, self.weights_ = found, found.weights
        self.coef_ = found.weights[:-1].T.cpu().numpy()
        self.intercept_ = float(self.fit_intercept) * found.weights[-1].cpu().numpy()
        self.objective_ = found.objective.cpu().numpy()
        self.duality_gap_ = found.relative_gap
        self.n_iter_, self.products_ = found.steps, found.products
        if not self.duality_gap_ <= self.tol:
            warnings.warn(
                f"L2SVM stopped after {self.n_iter_} steps at a relative duality gap of {self.duality_gap_:.1e}, above "
                f"tol {self.tol:g}: raise max_iter, lower C or scale the features",
                _convergence_warning(),
                stacklevel=2,
            )
        self.n_features_in_ = design.columns - 1
        return self

    def decision_function(self, X: Features) -> np.ndarray:
        """Scores (n, k), or (n,) for two classes, float64."""
        if not hasattr(self, "weights_"):
            raise _not_fitted()
        if not isinstance(X, Design | Tensor):
            X, _ = self._validated(X)
        design = self._design(X)
        design.check()
        if design.columns != len(self.weights_):
            raise ValueError(
                f"X has {design.columns - 1} features, but L2SVM is expecting {self.n_features_in_} features as input"
            )
        scores: np.ndarray = design.scores(self.weights_.to(design.device)).cpu().numpy()
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Features) -> np.ndarray:
        """The class of the highest score, (n,), in the labels' own type."""
        return self.told(self.decision_function(X))

    def told(self, scores: np.ndarray) -> np.ndarray:
        """The class of the highest of `decision_function`'s scores, (n,)."""
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)
        predicted: np.ndarray = self.classes_[best]
        return predicted

    def score(self, X: Features, y: np.ndarray | Tensor, sample_weight: np.ndarray | None = None) -> float:
        """Share of correct predictions."""
        return float(np.average(self.predict(X) == _on_the_host(y), weights=sample_weight))

    def _design(self, X: Features) -> Design:
        design = X if isinstance(X, Design) else Design(X, constant=float(self.fit_intercept))
        if design.constant != float(self.fit_intercept):
            raise ValueError(f"fit_intercept is {self.fit_intercept}, but the Design's constant is {design.constant}")
        return design

    def _validated(self, X: Any, y: Any = None) -> tuple[np.ndarray, Any]:
        """What scikit-learn checks of arrays: shapes, types, names of columns; `Design.check` looks for NaN."""
        try:
            from sklearn.utils.multiclass import check_classification_targets
            from sklearn.utils.validation import validate_data
        except ImportError:
            return np.asarray(X), y
        if y is None:
            return validate_data(self, X, dtype=PRECISIONS, ensure_all_finite=False, reset=False), None
        X, y = validate_data(self, X, y, dtype=PRECISIONS, ensure_all_finite=False)
        check_classification_targets(y)
        return X, y


def solve(
    design: Design, targets: Tensor, C: float, tol: float, max_steps: int, start: Solution | None = None
) -> Solution:
    """Minimise P for every column of `targets` (n, k) until each relative gap is at most `tol`, whichever way is best.

    Few rows are solved for in their own space. What does not arrive there, because rows repeat themselves and hardly
    anything regularises them, is solved in the primal, in double precision. Where Newton's steps become very short
    even so, the solution is approached by a path of growing C, which takes few steps each. `max_steps` bounds the
    steps of all together.
    """
    found = []
    if sample_space.fits(design):
        found.append(sample_space.solve(design, targets, C, tol, min(max_steps, PATIENCE), start))
    return _finished(design, targets, C, tol, max_steps, start, found)


def solve_many(
    designs: Sequence[Design],
    targets: Tensor,
    C: float,
    tol: float,
    max_steps: int,
    starts: Sequence[Solution | None],
) -> list[Solution]:
    """As `solve`, for problems of one shape with `targets` (problems, n, k): those of few rows all at once."""
    found: list[list[Solution]] = [[] for _ in designs]
    if sample_space.fits(designs[0]):
        solved = sample_space.solve_many(designs, targets, C, tol, min(max_steps, PATIENCE), starts)
        found = [[each] for each in solved]
    each = zip(designs, targets, starts, found, strict=True)
    return [_finished(design, target, C, tol, max_steps, start, tried) for design, target, start, tried in each]


def _finished(
    design: Design, targets: Tensor, C: float, tol: float, max_steps: int, start: Solution | None, found: list[Solution]
) -> Solution:
    """The best of what was `found` in sample space, if anything, and in the primal, as far as that is needed."""
    if found:
        if found[0].relative_gap <= tol:
            return found[0]
        design, start = design.doubled(), None
    found = [*found, newton.solve(design, targets, C, tol, min(max_steps - _steps(found), PATIENCE), start)]
    if not found[-1].relative_gap <= tol and _steps(found) < max_steps:
        found.append(_along_a_path(design, targets, C, tol, max_steps - _steps(found)))
    numbers = [each for each in found if math.isfinite(each.relative_gap)]
    return _after(found, min(numbers or found, key=lambda each: each.relative_gap))


def _steps(found: list[Solution]) -> int:
    return sum(each.steps for each in found)


def _after(found: list[Solution], last: Solution) -> Solution:
    return replace(last, steps=_steps(found), products=sum(each.products for each in found))


def _along_a_path(design: Design, targets: Tensor, C: float, tol: float, max_steps: int) -> Solution:
    found: list[Solution] = []
    lengths = math.ceil(math.log(max(C * design.largest_norm() ** 2 / FADED, 1), PATH))
    for left in range(lengths, -1, -1):
        start, steps = found[-1] if found else None, max_steps - _steps(found)
        found.append(newton.solve(design, targets, C / PATH**left, tol, steps, start))
    return _after(found, found[-1])


def one_against_the_rest(codes: np.ndarray, classes: int, device: torch.device) -> Tensor:
    """Targets -1 and +1 (n, k) float64 of class numbers (n,); of two classes the second is the positive, k = 1."""
    columns = 1 if classes == 2 else classes
    wanted = torch.arange(columns, device=device) + (columns == 1)
    return torch.where(torch.as_tensor(codes, device=device)[:, None] == wanted, 1.0, -1.0).double()


def _on_the_host(values: np.ndarray | Tensor) -> np.ndarray:
    return values.cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _convergence_warning() -> type[Warning]:
    try:
        from sklearn.exceptions import ConvergenceWarning
    except ImportError:
        return UserWarning
    warning: type[Warning] = ConvergenceWarning
    return warning


def _not_fitted() -> Exception:
    try:
        from sklearn.exceptions import NotFittedError
    except ImportError:
        return ValueError("this L2SVM is not fitted yet: call fit first")
    return NotFittedError("this L2SVM is not fitted yet: call fit first")
