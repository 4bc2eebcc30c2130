"""The paper's protocol: a linear L2-SVM on frozen features, C chosen on a split of the training set, then refitted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ganpipe.evaluation.design import Design, Rows, all_rows
from ganpipe.evaluation.l2svm import L2SVM

CHOOSING_TOLERANCE = 1e-2  # of the fits that only rank the candidates for C
EXTRA_CANDIDATES = 4  # at most, beyond the given ones


@dataclass(frozen=True)
class Answers:
    """What a machine says of some images: scores (n, classes), or (n, 1) of two classes, and the classes predicted."""

    truth: np.ndarray
    scores: np.ndarray
    predicted: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of correct predictions."""
        return float((self.predicted == self.truth).mean())

    def of(self, rows: np.ndarray) -> "Answers":
        """Those of some of the images."""
        return Answers(self.truth[rows], self.scores[rows], self.predicted[rows])


@dataclass(frozen=True)
class Choice:
    """The C that validation chose, with the accuracies by C, and the machine of that C on the fitting part."""

    C: float
    accuracies: dict[float, float]
    machine: L2SVM

    @property
    def accuracy(self) -> float:
        """The best, on the validation part."""
        return self.accuracies[self.C]


@dataclass(frozen=True)
class Probe:
    """One representation's result: of a machine fitted to the whole training set on the test set.

    Where the test set is not looked at, of the chosen machine on the validation part.
    """

    choice: Choice
    answers: Answers
    accuracy_train: float  # on what the machine was fitted to
    duality_gap: float


def validation_split(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices for fitting and for validation, each sorted.

    A share below 1 is taken of every class. A number from 1 is of images, whatever their classes, as in the authors'
    code for SVHN: the first so many of the shuffled set.
    """
    if share >= 1:
        validation = np.sort(np.random.default_rng(seed).permutation(len(labels))[: round(share)])
    else:
        held = []
        for number, label in enumerate(np.unique(labels)):
            members = np.flatnonzero(labels == label)
            shuffled = np.random.default_rng([seed, number]).permutation(members)
            held.append(shuffled[: min(max(1, round(share * len(members))), len(members) - 1)])
        validation = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def choose(train: Tensor | Rows, labels: np.ndarray, fitting: int, candidates: Sequence[float], label: str) -> Choice:
    """Fit for each C on the first `fitting` rows and take the best on the others.

    The rows are put in that order before (`validation_split`), because a part that is a view costs no memory.

    A best C at the end of the candidates may not be the best there is: the candidates are then continued by the same
    ratio, so that a representation is never beaten for want of a C that suits its scale.
    """
    part, held = (rows.design() for rows in all_rows(train).split(fitting))
    tried: dict[float, float] = {}
    best: Choice | None = None
    machine: L2SVM | None = None
    ordered = sorted(candidates)
    ratio = ordered[1] / ordered[0] if len(ordered) > 1 else 10.0
    for number in range(len(ordered) + EXTRA_CANDIDATES):
        if number < len(ordered):
            C = ordered[number]
        elif best is None or len(set(tried.values())) == 1:  # all alike: look on both sides in turn
            C = max(tried) * ratio if number % 2 == len(ordered) % 2 else min(tried) / ratio
        elif max(tried) == best.C:
            C = best.C * ratio
        elif min(tried) == best.C:
            C = best.C / ratio
        else:
            break
        machine = L2SVM(C, tol=CHOOSING_TOLERANCE).fit(part, labels[:fitting], start=machine)
        tried[C] = machine.score(held, labels[fitting:])
        print(f"{label}: C {C:.3g} gives {tried[C]:.2%} on validation", flush=True)
        if best is None or (tried[C], -C) > (best.accuracy, -best.C):
            best = Choice(C, tried, machine)
    if best is None:
        raise ValueError("there are no candidates for C")
    if best.C in (min(tried), max(tried)):
        print(f"warning: {label}: the best C, {best.C:.3g}, is at the end of those that were tried", flush=True)
    return best


def probe(
    choice: Choice,
    train: Tensor | Rows,
    train_labels: np.ndarray,
    fitting: int,
    test: Tensor | Rows | None,
    test_labels: np.ndarray | None,
    tolerance: float,
    label: str,
) -> Probe:
    """Fit the chosen C to the whole training set and look at the test set, once; without a `test` at neither."""
    if test is None or test_labels is None:
        machine = choice.machine
        part, held = (rows.design() for rows in all_rows(train).split(fitting))
        found = _answers(machine, held, train_labels[fitting:])
        return Probe(choice, found, machine.score(part, train_labels[:fitting]), machine.duality_gap_)
    whole = all_rows(train).design()
    machine = L2SVM(choice.C, tol=tolerance).fit(whole, train_labels, start=choice.machine)
    found, gap = _answers(machine, all_rows(test).design(), test_labels), machine.duality_gap_
    print(f"{label}: {found.accuracy:.2%} on test with C {choice.C:.3g}, duality gap {gap:.1e}", flush=True)
    return Probe(choice, found, machine.score(whole, train_labels), gap)


def _answers(machine: L2SVM, features: Design, labels: np.ndarray) -> Answers:
    scores = machine.decision_function(features)
    return Answers(labels, np.atleast_2d(scores.T).T, machine.told(scores))
