"""Classification problems, and the L2-SVM's objective written out in double precision for one class at a time."""

import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from ganpipe.corpus import unpack


class Linear(Protocol):
    """A fitted machine, ours or liblinear's."""

    coef_: np.ndarray
    intercept_: np.ndarray


@dataclass(frozen=True)
class Problem:
    """Features (n, d) float32, labels (n,) of at least two classes."""

    X: np.ndarray
    y: np.ndarray
    C: float


def digits(count: int = 1797) -> tuple[np.ndarray, np.ndarray]:
    """The digits as 64 numbers in [0, 1] each: more rows than columns, unless `count` is small."""
    images, labels = unpack.digits()
    return (images[:count, :, :, 0].reshape(count, -1) / 255).astype(np.float32), labels[:count]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Small ones of every shape and scale, among them what makes solvers stumble."""
    rows, columns, classes = draw(st.integers(5, 30)), draw(st.integers(1, 40)), draw(st.integers(2, 5))
    source = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X, y = source.normal(size=(rows, columns)), source.integers(0, classes, rows)
    y[:classes] = np.arange(classes)
    kind = draw(st.sampled_from(["plain", "repeated rows", "constant features", "separable", "far from 0"]))
    if kind == "repeated rows":  # half of them under another label
        X, y = np.concatenate([X, X]), np.concatenate([y, (y + source.integers(0, 2, rows)) % classes])
    elif kind == "constant features":
        X[:, : 1 + columns // 2] = 1.0
    elif kind == "separable":
        X += 10 * source.normal(size=(classes, columns))[y]
    elif kind == "far from 0":
        X += 5.0
    scale, C = 10.0 ** draw(st.floats(-3, 3)), 10.0 ** draw(st.floats(-8, 4))
    return Problem((X * scale).astype(np.float32), y, C)


def reference(problem: Problem) -> LinearSVC:
    """Liblinear's answer, as near to the optimum as it will go: on the hardest problems it stops short, and warns."""
    machine = LinearSVC(C=problem.C, dual=False, tol=1e-12, max_iter=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return machine.fit(problem.X.astype(np.float64), problem.y)


def weights(machine: Linear) -> np.ndarray:
    """The bias as the last column: (k, d + 1)."""
    return np.column_stack([machine.coef_, machine.intercept_])


def objectives(problem: Problem, machine: Linear) -> np.ndarray:
    """1/2 |w|^2 + C sum max(0, 1 - y f)^2 of each class, (k,)."""
    return np.array([_primal(problem, w, t) for w, t in zip(weights(machine), _targets(problem), strict=True)])


def gaps(problem: Problem, machine: Linear) -> np.ndarray:
    """Objective less that of the best dual point in the direction of the slacks, (k,)."""
    found = []
    for w, t in zip(weights(machine), _targets(problem), strict=True):
        a = 2 * problem.C * _slack(problem, w, t)
        pull = (a * t) @ _with_ones(problem)
        # The dual at s a is s sum(a) - s^2 q; its highest point over s is sum(a)^2 / 4q.
        q = 0.5 * pull @ pull + a @ a / (4 * problem.C)
        found.append(_primal(problem, w, t) - a.sum() ** 2 / (4 * q))
    return np.array(found)


def _targets(problem: Problem) -> list[np.ndarray]:
    classes = np.unique(problem.y)
    positive = classes[1:] if len(classes) == 2 else classes
    return [np.where(problem.y == label, 1.0, -1.0) for label in positive]


def _with_ones(problem: Problem) -> np.ndarray:
    return np.column_stack([problem.X.astype(np.float64), np.ones(len(problem.X))])


def _slack(problem: Problem, w: np.ndarray, t: np.ndarray) -> np.ndarray:
    slack: np.ndarray = np.maximum(0, 1 - t * (_with_ones(problem) @ w))
    return slack


def _primal(problem: Problem, w: np.ndarray, t: np.ndarray) -> float:
    slack = _slack(problem, w, t)
    return float(0.5 * w @ w + problem.C * slack @ slack)
