"""Attributes of real images, found again in samples: which show them most, and where they lie in z's space.

A linear SVM on the discriminator's features, each standardised, learns an attribute from images of which it is known.
What it says of samples ranks them. The mean z of the first less that of the last is the attribute's direction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganpipe.analysis import labels
from ganpipe.analysis.arithmetic import along
from ganpipe.analysis.found import Analysis
from ganpipe.analysis.table import table
from ganpipe.errors import UserError
from ganpipe.evaluation.design import Design
from ganpipe.evaluation.features import extract
from ganpipe.evaluation.l2svm import L2SVM
from ganpipe.evaluation.protocols import choose, validation_split
from ganpipe.models.dcgan import Discriminator
from ganpipe.models.draws import drawn
from ganpipe.models.store import Sampler

CANDIDATES = (1e-6, 1e-5, 1e-4, 1e-3)  # of C
TESTED, VALIDATED = 0.2, 0.2  # of the known images, and of the others
LEAST = 20  # images of either kind, to learn from and to test on together
AT_ONCE = 1000  # samples whose features are in memory together
SHARE = 0.1  # of the samples, at either end of the ranking, whose mean z makes a direction
EXEMPLARS = 3  # samples of a concept that attributes describe, as many as the paper's
SHOWN = 12  # samples of either end
ROWS = 8  # of the picture of a direction


class Probe(NamedTuple):
    """A machine on features as they are, and how right it is on images that it was not fitted to."""

    weights: np.ndarray  # float64 (d,)
    bias: float
    C: float
    accuracy: float
    majority: float  # what always saying the more frequent answer gives
    auc: float  # how often one with the attribute is ranked before one without
    tested: int


@dataclass(frozen=True)
class Judge:
    """Probes by attribute, all on features of one discriminator."""

    discriminator: Discriminator
    probes: dict[str, Probe]
    device: torch.device

    def scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """How much of each attribute images, uint8 (n, S, S, 3), show: float64 (n,), each in its unit."""
        found: dict[str, list[np.ndarray]] = {name: [] for name in self.probes}
        for start in range(0, len(images), AT_ONCE):
            part = images[start : start + AT_ONCE]
            features = extract(self.discriminator, part, self.device, "features, attributes").double().cpu().numpy()
            for name, probe in self.probes.items():
                found[name].append(features @ probe.weights + probe.bias)
        return {name: np.concatenate(parts) for name, parts in found.items()}


def learn(
    discriminator: Discriminator, images: np.ndarray, known: Mapping[str, np.ndarray], seed: int, device: torch.device
) -> Judge:
    """Probes for attributes of images, uint8 (n, S, S, 3), by name 1, 0 or NaN for each of them (`labels.truth`).

    The last fifth of the images, whose order is to be random, is tested on. C is chosen by validation on the others.
    UserError where too few are known of either kind.
    """
    features = extract(discriminator, images, device, "features, images with attributes")
    learned = round(len(images) * (1 - TESTED))
    mean, spread = features[:learned].mean(0), features[:learned].std(0, correction=0)
    inverse = torch.where(spread > 1e-6 * mean.abs(), 1 / spread, 1.0)
    features.sub_(mean).mul_(inverse)
    probes = {}
    for name, truth in known.items():
        probe = _probe(name, features, truth, learned, seed)
        weights = probe.weights * inverse.cpu().numpy()
        probes[name] = probe._replace(weights=weights, bias=probe.bias - float(weights @ mean.cpu().numpy()))
    return Judge(discriminator, probes, device)


def _probe(name: str, features: Tensor, truth: np.ndarray, learned: int, seed: int) -> Probe:
    from sklearn.metrics import roc_auc_score

    rows = np.flatnonzero(~np.isnan(truth))
    train, test = rows[rows < learned], rows[rows >= learned]
    fewest = min((truth[rows] == kind).sum() for kind in (0, 1))
    if fewest < LEAST or any(len(np.unique(truth[part])) < 2 for part in (train, test)):
        raise UserError(
            f"the attribute {name} is known to hold for {int(truth[rows].sum())} of {len(rows)} images, and not to for "
            f"the others: at least {LEAST} of either kind are needed"
        )
    fitting, validation = validation_split(truth[train], VALIDATED, seed)
    train = train[np.concatenate([fitting, validation])]
    known = features[torch.from_numpy(train).to(features.device)]
    choice = choose(known, truth[train], len(fitting), CANDIDATES, f"attribute {name}")
    machine = L2SVM(choice.C).fit(Design(known), truth[train], start=choice.machine)
    scores, answers = machine.decision_function(features[torch.from_numpy(test).to(features.device)]), truth[test]
    return Probe(
        machine.coef_[0],
        float(machine.intercept_[0]),
        choice.C,
        float((machine.told(scores) == answers).mean()),
        float(max(answers.mean(), 1 - answers.mean())),
        float(roc_auc_score(answers, scores)),
        len(test),
    )


def first(scores: Mapping[str, np.ndarray], text: str, count: int) -> list[int]:
    """The `count` samples that most show what a text such as `male & !smiling` asks for.

    Scores are compared in their standard deviations over the samples; the least of its attributes counts.
    """
    ranks = []
    for wanted, name in labels.conditions(text, list(scores)):
        score = (scores[name] - scores[name].mean()) / (scores[name].std() or 1)
        ranks.append(score if wanted else -score)
    order = np.argsort(-np.min(ranks, axis=0), kind="stable")
    return [int(number) for number in order[:count]]


def exemplars(concepts: Mapping[str, list[int] | str], scores: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """The samples of each concept: those that were picked, or the first of those that its attributes ask for."""
    return {name: first(scores, each, EXEMPLARS) if isinstance(each, str) else each for name, each in concepts.items()}


def direction(z: Tensor, scores: np.ndarray, reach: float) -> Tensor:
    """From the mean z of the lowest tenth of the scores to that of the highest, (latent,), made `reach` long.

    The length is in standard deviations of z's numbers.
    """
    order = torch.from_numpy(np.argsort(scores, kind="stable"))
    count = max(1, round(SHARE * len(z)))
    way = z[order[-count:]].mean(0) - z[order[:count]].mean(0)
    return way / way.norm().clamp_min(1e-30) * reach * z.std()


def attributes(
    found: Analysis,
    generator: Sampler,
    judge: Judge,
    z: Tensor,
    others: Tensor,
    stops: int,
    reach: float,
    device: torch.device,
) -> dict[str, np.ndarray]:
    """For each attribute the samples of z that show it most and least, and its direction; and all samples' scores.

    The direction is walked through `others`, z that it was not made of: of the first a row each is shown, and of all of
    them it is told how often the score is higher at its end, and by how much, in the samples' standard deviations.
    Whether the score is the attribute is another matter: a direction moves that of a probe without sense just as well.
    """
    samples = drawn(generator, z, device)
    scores = judge.scores(samples)
    for name, probe in judge.probes.items():
        key, order = f"attribute_{_slug(name)}", np.argsort(-scores[name], kind="stable")
        way = direction(z, scores[name], reach)
        ends = drawn(generator, along(others, way, 2).flatten(0, 1), device)
        rise = np.diff(judge.scores(ends)[name].reshape(-1, 2))[:, 0]
        walks = drawn(generator, along(others[:ROWS], way, stops).flatten(0, 1), device)
        found.pictures[f"{key}_ranked"] = table(
            [samples[order[:SHOWN]], samples[order[: -SHOWN - 1 : -1]]], f"{name}: most, least"
        )
        found.pictures[key] = table(np.split(walks, len(others[:ROWS])), f"towards {name}")
        for what in ("accuracy", "majority", "auc", "tested", "C"):
            found.metrics[f"{key}_{what}"] = getattr(probe, what)
        found.metrics[f"{key}_rises"] = float((rise > 0).mean())
        found.metrics[f"{key}_rise"] = float(rise.mean() / (scores[name].std() or 1))
    return scores


def _slug(name: str) -> str:
    """The name as a part of a figure's and a file's."""
    words = {">": " over ", "<": " under ", "=": " "}
    spelled = "".join(words.get(letter, letter if letter.isalnum() else " ") for letter in name.lower())
    return "_".join(spelled.split())
