"""The paper's protocol: a linear L2-SVM on frozen features, C chosen on a split of the training set, then refitted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ganpipe.evaluation.design import Design
from ganpipe.evaluation.l2svm import L2SVM

CHOOSING_TOLERANCE = 1e-2  # of the fits that only rank the candidates for C
EXTRA_CANDIDATES = 4  # at most, beyond the given ones


@dataclass(frozen=True)
class Probe:
    """One representation's result. Accuracies are shares; `scores` (n_test, classes) are the test set's."""

    C: float
    features: int
    accuracy: float
    accuracy_train: float
    accuracy_validation: dict[float, float]  # by C
    duality_gap: float
    scores: np.ndarray
    predicted: np.ndarray

    def interval(self, count: int) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy over `count` test images."""
        z2 = 1.96**2
        centre = (self.accuracy + z2 / (2 * count)) / (1 + z2 / count)
        spread = 1.96 / (1 + z2 / count) * np.sqrt(self.accuracy * (1 - self.accuracy) / count + z2 / (4 * count**2))
        return float(centre - spread), float(centre + spread)


def validation_split(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices for fitting and for validation, the same share of every class in both, each sorted."""
    held = []
    for number, label in enumerate(np.unique(labels)):
        members = np.flatnonzero(labels == label)
        shuffled = np.random.default_rng([seed, number]).permutation(members)
        held.append(shuffled[: min(max(1, round(share * len(members))), len(members) - 1)])
    validation = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def probe(
    train: Tensor,
    train_labels: np.ndarray,
    test: Tensor,
    test_labels: np.ndarray,
    fitting: int,
    candidates: Sequence[float],
    tolerance: float,
    label: str,
) -> Probe:
    """Fit for each C on the first `fitting` rows, take the best on the others, refit on all, look at the test set once.

    The rows are put in that order before (`validation_split`), because a part that is a view costs no memory.

    A best C at the end of the candidates may not be the best there is: the candidates are then continued by the same
    ratio, so that a representation is never beaten for want of a C that suits its scale.
    """
    part, held = Design(train[:fitting]), Design(train[fitting:])
    tried: dict[float, float] = {}
    machine: L2SVM | None = None
    ordered = sorted(candidates)
    ratio = ordered[1] / ordered[0] if len(ordered) > 1 else 10.0
    for number in range(len(ordered) + EXTRA_CANDIDATES):
        best = max(tried, key=lambda C: (tried[C], -C), default=ordered[0])
        if number < len(ordered):
            C = ordered[number]
        elif len(set(tried.values())) == 1:  # all alike: look on both sides in turn
            C = max(tried) * ratio if number % 2 == len(ordered) % 2 else min(tried) / ratio
        elif best == max(tried):
            C = best * ratio
        elif best == min(tried):
            C = best / ratio
        else:
            break
        machine = L2SVM(C, tol=CHOOSING_TOLERANCE).fit(part, train_labels[:fitting], start=machine)
        tried[C] = machine.score(held, train_labels[fitting:])
        print(f"{label}: C {C:.3g} gives {tried[C]:.2%} on validation", flush=True)
    best = max(tried, key=lambda C: (tried[C], -C))
    whole = Design(train)
    del part, held
    machine = L2SVM(best, tol=tolerance).fit(whole, train_labels, start=machine)
    scores = np.atleast_2d(machine.decision_function(test).T).T
    predicted = machine.predict(test)
    accuracy = float((predicted == test_labels).mean())
    if machine.duality_gap_ > tolerance:
        print(f"warning: {label}: the SVM stopped at a gap of {machine.duality_gap_:.1e}, above evaluate.tolerance")
    print(f"{label}: {accuracy:.2%} on test with C {best:.3g}, duality gap {machine.duality_gap_:.1e}", flush=True)
    return Probe(
        C=best,
        features=train.shape[1],
        accuracy=accuracy,
        accuracy_train=machine.score(whole, train_labels),
        accuracy_validation=tried,
        duality_gap=machine.duality_gap_,
        scores=scores,
        predicted=predicted,
    )
