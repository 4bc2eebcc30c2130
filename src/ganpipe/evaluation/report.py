"""Evaluating a discriminator on one labelled set, with its controls."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation.features import extract, scale
from ganpipe.evaluation.few_labels import FewLabels, few_labels
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.protocols import Probe, probe, validation_split
from ganpipe.models.dcgan import Discriminator, fold, initialise, place
from ganpipe.models.pixels import freeze_on
from ganpipe.runtime import keep_freed_memory, mix_seed

CHOOSING_DRAWS = 10  # of few labels, that choose C; in the authors' code too
KINDS = {"trained": "", "random init": "_random_init"}  # suffixes of metrics


@dataclass(frozen=True)
class Evaluation:
    """One labelled set's result: flat `metrics`, and what pictures are drawn from."""

    metrics: dict[str, Any]
    classes: list[str]
    truth: np.ndarray  # int64 (n_test,)
    trained: Probe
    test_pixels: np.ndarray  # uint8 (n_test, 32, 32, 3)


def evaluate(
    params: EvaluateParams,
    discriminator: Discriminator,
    trained_on: dict[str, Any],
    corpus: Images,
    labelled: Images,
    device: torch.device,
) -> Evaluation:
    """Probe `discriminator`, and with the same solver and choice of C raw pixels and an untrained discriminator.

    `trained_on` is what its config says of its corpus: sets of another size are resized as that was. The untrained
    one's batch-norm statistics are averaged over `corpus`.
    """
    keep_freed_memory()
    if (last := max(params.layers or [1])) > len(discriminator.convs):
        raise UserError(f"evaluate.layers names layer {last}, but the discriminator has {len(discriminator.convs)}")
    labels = {split: labelled.labels(split) for split in ("train", "test")}
    pixels = {
        split: np.concatenate(
            list(labelled.squares(labelled.rows(split), discriminator.table.size, trained_on["resize"]))
        )
        for split in labels
    }

    fitting, validation = validation_split(labels["train"], params.validation, params.seed)
    fewest = int(np.unique(labels["train"][fitting], return_counts=True)[1].min())
    if max(params.labels_per_class, default=0) > fewest:
        raise UserError(f"evaluate.labels_per_class is {params.labels_per_class}: {fewest} are there to draw from")
    order = np.concatenate([fitting, validation])
    pixels["train"], labels["train"] = pixels["train"][order], labels["train"][order]

    few: dict[tuple[str, int], FewLabels] = {}

    def result(name: str, features: dict[str, Tensor]) -> Probe:
        choice = (len(fitting), params.C, params.tolerance, name)
        return probe(features["train"], labels["train"], features["test"], labels["test"], *choice)

    def of_network(name: str, network: Discriminator) -> Probe:
        features = {
            split: extract(network, pixels[split], device, f"{name}, {split}", params.levers) for split in pixels
        }
        scale(features["train"], [features["test"]], params.scaling)
        for count in params.labels_per_class:
            choice = (count, CHOOSING_DRAWS, params.draws, params.seed, f"{name}, {count} labels a class")
            few[name, count] = few_labels(
                features["train"], labels["train"], len(fitting), features["test"], labels["test"], *choice
            )
        return result(name, features)

    trained = of_network("trained", discriminator)
    untrained = of_network("random init", _untrained(discriminator, params.seed, corpus, device))
    flat = {split: torch.from_numpy(array).to(device).flatten(1).float() / 127.5 - 1 for split, array in pixels.items()}
    raw = result("pixels", flat)

    count = len(labels["test"])
    low, high = trained.interval(count)
    metrics = {
        "accuracy": trained.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "accuracy_pixels": raw.accuracy,
        "accuracy_random_init": untrained.accuracy,
        "accuracy_train": trained.accuracy_train,
        "accuracy_validation": trained.accuracy_validation[trained.C],
        "C": trained.C,
        "C_pixels": raw.C,
        "C_random_init": untrained.C,
        "features": trained.features,
        "duality_gap": trained.duality_gap,
        "duality_gap_pixels": raw.duality_gap,
        "duality_gap_random_init": untrained.duality_gap,
        "train_images": len(labels["train"]),
        "test_images": count,
        # Unlike the paper's, such a discriminator has seen the training images, though never a label.
        "trained_on_this_set": trained_on["name"] == labelled.manifest["name"],
    }
    for (name, each), found in few.items():
        metrics |= {f"{key}_{each}_a_class{KINDS[name]}": value for key, value in found.metrics().items()}
    return Evaluation(metrics, labelled.classes, labels["test"], trained, pixels["test"])


def _untrained(trained: Discriminator, seed: int, corpus: Images, device: torch.device) -> Discriminator:
    """The same shape as training starts from, its statistics frozen on the corpus like the trained one's."""
    network = Discriminator(**trained.config)
    initialise(network, torch.Generator().manual_seed(mix_seed(seed)))
    fold(network)
    freeze_on(place(network, device), len(corpus), corpus.pixels, device)
    return network
