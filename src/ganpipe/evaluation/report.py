"""Evaluating a discriminator on one labelled set, with its controls."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation.cifair import clean_rows
from ganpipe.evaluation.features import columns
from ganpipe.evaluation.judge import Finding, Judge, refuse_other_layers
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.protocols import Answers
from ganpipe.evaluation.supervised import Supervised
from ganpipe.intervals import wilson
from ganpipe.models.dcgan import Discriminator, fold, initialise, place
from ganpipe.models.pixels import freeze_on
from ganpipe.models.store import kept_folders, load_config, load_discriminator, refuse_classifier
from ganpipe.runtime import first_speaks, keep_freed_memory, mix_seed

FURTHER = 8  # values of C beyond the authors' for features of another scale than theirs
SUFFIXES = {"trained": "", "pixels": "_pixels", "random init": "_random_init"}  # of their metrics


@dataclass(frozen=True)
class Evaluation:
    """One labelled set's result: `metrics`, flat but for the classes, and what pictures are drawn from.

    `answers` are of the test set, and `pixels` its images; or of the validation part, where the test set is not looked
    at. `bars` are accuracies on validation by representation, `curve` those of the discriminator by training step.
    """

    metrics: dict[str, Any]
    classes: list[str]
    answers: Answers
    pixels: np.ndarray  # uint8 (n, S, S, 3)
    bars: dict[str, float]
    curve: dict[int, float]

    @property
    def by_class(self) -> dict[str, tuple[float, float, float]]:
        """Each class's accuracy and the ends of its 95 % interval."""
        return _by_class(self.answers, self.classes)


@first_speaks()
def evaluate(
    params: EvaluateParams, weights: Path, corpus: Images, labelled: Images, device: torch.device
) -> Evaluation:
    """Probe the discriminator in `weights`, and with the same solver and choice of C pixels and an untrained one.

    Labelled images are resized as its training's corpus was. The untrained one's batch-norm statistics are averaged
    over `corpus`. Processes that share the work (`runtime.joined`) take the features of some images each, and all get
    the result.
    """
    keep_freed_memory()
    config, discriminator = load_config(weights), load_discriminator(weights, device, params.average)
    refuse_classifier(weights)
    refuse_other_layers(params, discriminator)
    kept = kept_folders(weights) if params.kept else {}
    if params.kept and not kept:
        raise UserError(
            f"evaluate.kept is true, but {weights} has none: train with a train.keep_every below train.steps"
        )
    trained_on = config["corpus"]
    judge = Judge(params, labelled, discriminator.table.size, trained_on["resize"], device)
    clean, tests = None, len(labelled.rows("test"))
    if params.duplicates is not None and labelled.manifest["name"].startswith("cifar"):
        clean = clean_rows(Path(params.duplicates).expanduser(), tests)
    elif params.duplicates is not None:
        print(f"evaluate.duplicates lists images of CIFAR: it says nothing of {labelled.manifest['name']}", flush=True)
    found: dict[str, Finding] = {}
    bars: dict[str, float] = {}
    curve: dict[int, float] = {}

    # What may come to no end is first, so that it costs nothing but itself.
    on_labels = judge.supervised(discriminator.config) if params.supervised_trials else {}

    # The discriminator: all of it, and its layers.
    features = judge.of_network("trained", discriminator)
    scaled = 0 if params.scaling == "none" else FURTHER
    found["trained"] = judge.find("trained", features, scaled)
    if params.by_layer:
        for number, part in columns(discriminator, params.levers).items():
            name = f"layer {number}"
            bars[name] = judge.choose(name, features["train"].of_columns(part)).accuracy
    size = features["train"].columns
    del features  # they may be as large as memory allows

    # The controls.
    control = untrained(discriminator, params.seed, corpus, device)
    found["random init"] = judge.find("random init", judge.of_network("random init", control), scaled)
    found["pixels"] = judge.find("pixels", judge.of_pixels(), FURTHER)
    bars = {**{name: each.probe.choice.accuracy for name, each in found.items()}, **bars}
    if on_labels:
        bars["supervised"] = on_labels[None].accuracy_validation

    # The way there.
    for step, folder in kept.items():
        name, network = f"after {step:,} steps", load_discriminator(folder, device, params.average)
        curve[step] = judge.choose(name, judge.of_network(name, network, train_only=True)["train"]).accuracy
    curve[config.get("step", config.get("train", {}).get("steps", 0))] = bars["trained"]

    metrics = {
        **_figures(found, params.test, clean, len(judge.labels["train"]) - judge.fitting),
        **_supervised_figures(on_labels, tests),
        "features": size,
        "train_images": len(judge.labels["train"]),
        "test_images": tests,
        "seed": params.seed,
        "seed_of_training": config.get("train", {}).get("seed"),
        # Unlike the paper's, such a discriminator has seen the training images, though never a label.
        "trained_on_this_set": all(trained_on.get(key) == labelled.manifest[key] for key in ("name", "title")),
    }
    # Last, and by themselves: there may be a hundred.
    by_class = _by_class(found["trained"].probe.answers, labelled.classes)
    metrics["class" if params.test else "class_validation"] = {name: share for name, (share, *_) in by_class.items()}
    seen = judge.pixels["test"] if params.test else judge.pixels["train"][judge.fitting :]
    return Evaluation(metrics, labelled.classes, found["trained"].probe.answers, seen, bars, curve)


def _figures(found: dict[str, Finding], test: bool, clean: np.ndarray | None, held_out: int) -> dict[str, Any]:
    """Each representation's, under names that tell which: the headline first. `held_out` images chose C."""
    probes = {SUFFIXES[name]: each.probe for name, each in found.items()}
    metrics: dict[str, Any] = {}
    if test:
        metrics |= {f"accuracy{suffix}": probe.answers.accuracy for suffix, probe in probes.items()}
        for suffix, probe in probes.items():
            metrics |= _interval("accuracy", suffix, probe.answers.accuracy, len(probe.answers.truth))
    if test and clean is not None:
        shares = {suffix: probe.answers.of(clean).accuracy for suffix, probe in probes.items()}
        metrics |= {f"accuracy_clean{suffix}": share for suffix, share in shares.items()}
        for suffix, share in shares.items():
            metrics |= _interval("accuracy_clean", suffix, share, len(clean))
        metrics["test_images_clean"] = len(clean)
    metrics["accuracy_train"] = found["trained"].probe.accuracy_train
    metrics |= {f"accuracy_validation{suffix}": probe.choice.accuracy for suffix, probe in probes.items()}
    for suffix, probe in probes.items():
        metrics |= _interval("accuracy_validation", suffix, probe.choice.accuracy, held_out)
    metrics |= {f"C{suffix}": probe.choice.C for suffix, probe in probes.items()}
    metrics |= {f"duality_gap{suffix}": probe.duality_gap for suffix, probe in probes.items()}
    for name, each in found.items():
        for count, few in each.few.items():
            metrics |= {f"{key}_{count}_a_class{SUFFIXES[name]}": value for key, value in few.metrics().items()}
    return metrics


def _by_class(answers: Answers, classes: list[str]) -> dict[str, tuple[float, float, float]]:
    found = {}
    for number, name in enumerate(classes):
        right = (answers.predicted == number)[answers.truth == number]
        if len(right):
            found[name] = (float(right.mean()), *wilson(float(right.mean()), len(right)))
    return found


def _interval(name: str, suffix: str, share: float, count: int) -> dict[str, float]:
    """95 % of a share of `count` images."""
    low, high = wilson(share, count)
    return {f"{name}_low{suffix}": low, f"{name}_high{suffix}": high}


def _supervised_figures(found: dict[int | None, Supervised], tests: int) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for count, each in found.items():
        if count is None and len(each.accuracies):  # of few labels it has the spread of its draws
            metrics |= _interval("accuracy", "_supervised", each.accuracy, tests)
        suffix = f"_{count}_a_class" if count else ""
        for key, value in each.metrics().items():
            metrics[f"{key}{suffix}_supervised" if key.startswith("accuracy") else f"supervised{suffix}_{key}"] = value
    return metrics


def untrained(trained: Discriminator, seed: int, corpus: Images, device: torch.device) -> Discriminator:
    """The same shape as training starts from, its statistics frozen on the corpus like the trained one's."""
    rows = corpus.rows("train")
    return initial(trained, seed, len(rows), lambda chosen: corpus.pixels(rows[chosen]), device)


def initial(
    trained: Discriminator, seed: int, count: int, read: Callable[[np.ndarray], np.ndarray], device: torch.device
) -> Discriminator:
    """The same network with the weights that a training of that seed starts from.

    Its statistics are frozen on `count` images; `read` takes indices to uint8 (n, S, S, 3).
    """
    network = Discriminator(**trained.config)
    initialise(network, torch.Generator().manual_seed(mix_seed(seed)))
    fold(network)
    freeze_on(place(network, device), count, read, device)
    return network
