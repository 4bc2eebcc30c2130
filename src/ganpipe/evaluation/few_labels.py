"""The paper's protocol with few labels (section 5.2, and the authors' code for SVHN): many small draws of the labels.

C is the candidate with the best mean accuracy, on the validation part, of machines fitted to the first draws from the
rest. The test set is then looked at with that C by other draws, and the mean and its error are reported. In the
authors' code for SVHN the validation part is the first 10,000 images of a shuffled training set, C is one of
`CANDIDATES`, chosen over 10 draws of 100 labels a class, and the test is over 100 more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganpipe.evaluation.design import Design, Rows, all_rows
from ganpipe.evaluation.l2svm import one_against_the_rest, solve_many
from ganpipe.evaluation.newton import Solution
from ganpipe.progress import Progress

CANDIDATES = tuple(times * 1e-4 for times in (1, 2, 5, 10, 20, 50, 100))
TOLERANCE, STEPS = 1e-3, 100
STACK = 1 << 27  # single-precision numbers that are held at a time: half a gigabyte
KERNELS = 10  # such numbers for each of a kernel's: it is stacked, shifted and factored, in double precision


@dataclass(frozen=True)
class FewLabels:
    """Accuracies on the test set, one a draw, with the C that validation chose."""

    C: float
    accuracies: np.ndarray  # none where the test set is not looked at
    validation: dict[float, float]  # mean accuracy by C
    duality_gap: float  # the largest of all machines

    def metrics(self) -> dict[str, float]:
        """On the test set mean, 1.96 standard errors of it, and the standard deviation between draws."""
        found = {"accuracy_validation": self.validation[self.C], "C": self.C, "duality_gap": self.duality_gap}
        return {**found, **over_draws(self.accuracies)}


def over_draws(accuracies: np.ndarray) -> dict[str, float]:
    """Mean, 1.96 standard errors of it and the standard deviation between draws, as far as there are draws."""
    found = {}
    if len(accuracies):
        found["accuracy"] = float(accuracies.mean())
    if len(accuracies) > 1:
        deviation = float(accuracies.std(ddof=1))
        found |= {"accuracy_error": 1.96 * deviation / len(accuracies) ** 0.5, "accuracy_deviation": deviation}
    return found


def few_labels(
    train: Tensor | Rows,
    train_labels: np.ndarray,
    fitting: int,
    test: Tensor | Rows | None,
    test_labels: np.ndarray | None,
    per_class: int,
    choosing: int,
    draws: int,
    seed: int,
    label: str,
    further: int = 0,
    candidates: Sequence[float] = CANDIDATES,
) -> FewLabels:
    """Draw from the first `fitting` rows of `train`, choose C on the others, look at the test set with other draws.

    Where the best of the `candidates` is at their end, up to `further` more follow, twice or half as large.
    `choosing` draws choose C, and `draws` more are tested; without a `test` none.

    Raises ValueError where a class has too few images.
    """
    labels = train_labels[:fitting]
    rows = [draw(labels, per_class, seed, number) for number in range(choosing + draws)]
    train = all_rows(train)
    held = (train.split(fitting)[1].design(), train_labels[fitting:])
    validation: dict[float, float] = {}
    wanted, gap = sorted(candidates), 0.0
    while wanted:
        tried, gap_of_these = _accuracies(train, rows[:choosing], train_labels, held, wanted, f"{label}, choosing C")
        validation |= {C: float(accuracies.mean()) for C, accuracies in tried.items()}
        best, gap = max(validation, key=lambda C: (validation[C], -C)), max(gap, gap_of_these)
        wanted = []
        if best in (min(validation), max(validation)) and len(validation) < len(candidates) + further:
            wanted = [2 * best if best == max(validation) else best / 2]
    if best in (min(validation), max(validation)):
        print(f"warning: {label}: the best C, {best:.3g}, is at the end of those that were tried", flush=True)
    if test is None or test_labels is None:
        return FewLabels(best, np.empty(0), validation, gap)
    judges = (all_rows(test).design(), test_labels)
    tested, last = _accuracies(train, rows[choosing:], train_labels, judges, [best], f"{label}, testing")
    found = FewLabels(best, tested[best], validation, max(gap, last))
    of = found.metrics()
    print(f"{label}: {of['accuracy']:.2%} +- {of['accuracy_error']:.2%} on test with C {best:.3g}", flush=True)
    return found


def draw(labels: np.ndarray, per_class: int, seed: int, number: int) -> np.ndarray:
    """Sorted indices of `per_class` rows of each class, determined by seed and number."""
    chosen = []
    for code, value in enumerate(np.unique(labels)):
        members = np.flatnonzero(labels == value)
        if len(members) < per_class:
            raise ValueError(f"class {value} has {len(members)} training images, too few to draw {per_class}")
        chosen.append(np.random.default_rng([seed, number, code]).choice(members, per_class, replace=False))
    return np.sort(np.concatenate(chosen))


def _accuracies(
    train: Rows,
    draws: list[np.ndarray],
    labels: np.ndarray,
    against: tuple[Design, np.ndarray],
    candidates: Sequence[float],
    label: str,
) -> tuple[dict[float, np.ndarray], float]:
    """Accuracy on `against` of a machine for each draw, by C; the largest duality gap of all the machines."""
    classes = np.unique(labels)
    design, truth = against
    design.check()
    found: dict[float, list[float]] = {C: [] for C in candidates}
    gap = 0.0
    rows = len(draws[0])
    at_once = max(1, STACK // (rows * (train.columns + KERNELS * rows)))
    with Progress(label, len(draws) * len(candidates), "fits") as progress:
        for start in range(0, len(draws), at_once):
            part = draws[start : start + at_once]
            for C, machines in _fits(train, part, np.searchsorted(classes, labels), candidates):
                gap = max(gap, *(each.relative_gap for each in machines))
                # One pass over the images judges all draws.
                scores = design.scores(torch.cat([each.weights for each in machines], dim=1))
                scores = scores.view(design.rows, len(part), -1)
                best = (scores[..., 0] > 0).long() if scores.shape[2] == 1 else scores.argmax(2)
                found[C] += [float((classes[column] == truth).mean()) for column in best.T.cpu().numpy()]
                progress.advance(len(part))
    return {C: np.array(accuracies) for C, accuracies in found.items()}, gap


def _fits(
    train: Rows, draws: list[np.ndarray], codes: np.ndarray, candidates: Sequence[float]
) -> Iterator[tuple[float, list[Solution]]]:
    """For each C the machines on each draw, starting from those of the C before."""
    designs = [Design(train.take(rows)) for rows in draws]
    for each in designs:
        each.check()
    count = int(codes.max()) + 1
    targets = torch.stack([one_against_the_rest(codes[rows], count, train.device) for rows in draws])
    machines: list[Solution] = []
    for C in candidates:
        machines = solve_many(designs, targets, C, TOLERANCE, STEPS, machines or [None] * len(designs))
        yield C, machines
