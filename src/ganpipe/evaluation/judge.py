"""A labelled set, split and loaded, and what is asked of every representation of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation.design import Rows
from ganpipe.evaluation.features import columns, extract, scale, weigh
from ganpipe.evaluation.few_labels import FewLabels, few_labels
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.protocols import Choice, Probe, choose, probe, validation_split
from ganpipe.evaluation.supervised import Supervised, supervised
from ganpipe.files import work_folder
from ganpipe.models.dcgan import Discriminator
from ganpipe.runtime import share, world

CHOOSING_DRAWS = 10  # of few labels, that choose C; in the authors' code too

Features = dict[str, Rows]  # by split; without the test set where that is not looked at


@dataclass(frozen=True)
class Finding:
    """What is found of one representation, with all labels and with so many a class."""

    probe: Probe
    few: dict[int, FewLabels]


def refuse_other_layers(params: EvaluateParams, discriminator: Discriminator) -> None:
    """A UserError where the settings speak of other layers than the discriminator has."""
    if (last := max(params.layers or [1])) > len(discriminator.convs):
        raise UserError(f"evaluate.layers names layer {last}, but the discriminator has {len(discriminator.convs)}")
    if params.layer_weights and len(params.layer_weights) != (count := len(params.layers or discriminator.convs)):
        raise UserError(f"evaluate.layer_weights are {len(params.layer_weights)} numbers, for {count} layers")


class Judge:
    """Its `pixels` and `labels` are by split; the first `fitting` of the training set are fitted to, the rest judge."""

    def __init__(self, params: EvaluateParams, labelled: Images, size: int, resize: str, device: torch.device) -> None:
        self.params, self.device = params, device
        if world()[1] > 1 and params.supervised_trials:
            raise UserError(
                "evaluate.supervised_trials are for one process: set 0, or start the evaluation without torchrun"
            )
        splits = ["train", "test"] if params.test else ["train"]
        self.labels = {split: labelled.labels(split) for split in splits}
        self.pixels = {
            split: np.concatenate(list(labelled.squares(labelled.rows(split), size, resize))) for split in self.labels
        }
        train = self.labels["train"]
        fitting, validation = validation_split(train, params.validation, params.seed)
        if set(train[fitting]) != set(train):
            raise UserError(
                f"evaluate.validation is {params.validation:g} of {len(train):,} training images: it leaves none of "
                "some class to fit to"
            )
        fewest = int(np.unique(train[fitting], return_counts=True)[1].min())
        if max(params.labels_per_class, default=0) > fewest:
            raise UserError(f"evaluate.labels_per_class is {params.labels_per_class}: {fewest} are there to draw from")
        order = np.concatenate([fitting, validation])
        self.fitting = len(fitting)
        self.pixels["train"], self.labels["train"] = self.pixels["train"][order], train[order]
        self.places: dict[str, np.ndarray | None] = {split: self._places(split) for split in self.labels}

    def _places(self, split: str) -> np.ndarray | None:
        """Which of the rows this process has the features of; None for all of them."""
        if world()[1] == 1:
            return None
        parts = [np.arange(len(self.labels[split]))]
        if split == "train":  # of what is fitted to, and of what judges, each has its share
            parts = np.split(parts[0], [self.fitting])
        if min(len(part) for part in parts) < world()[1]:
            raise UserError(f"{len(self.labels[split])} images of {split} are too few for {world()[1]} processes")
        return np.concatenate([part[share(len(part))] for part in parts])

    def _seen(self, split: str) -> np.ndarray:
        """The images of those rows."""
        places = self.places[split]
        return self.pixels[split] if places is None else self.pixels[split][places]

    def of_network(self, name: str, network: Discriminator, train_only: bool = False) -> Features:
        """Features, with the levers of the settings."""
        found = {
            split: extract(network, self._seen(split), self.device, f"{name}, {split}", self.params.levers)
            for split in self.labels
            if split == "train" or not train_only
        }
        return self.prepared(network, found)

    def prepared(self, network: Discriminator, found: dict[str, Tensor]) -> Features:
        """Features as they were taken, by split, scaled and weighed in place as the settings say."""
        scale(found["train"], [found["test"]] if "test" in found else [], self.params.scaling)
        if self.params.layer_weights:
            parts = list(columns(network, self.params.levers).values())
            for features in found.values():
                weigh(features, parts, self.params.layer_weights)
        return {split: Rows(features, self.places[split]) for split, features in found.items()}

    def of_pixels(self) -> Features:
        """The pixels themselves, in [-1, 1]."""
        return {
            split: Rows(
                torch.from_numpy(self._seen(split)).to(self.device).flatten(1).float() / 127.5 - 1, self.places[split]
            )
            for split in self.labels
        }

    def choose(self, name: str, train: Rows) -> Choice:
        """What validation says of features of the training set."""
        return choose(train, self.labels["train"], self.fitting, self.params.C, name)

    def find(self, name: str, features: Features, further: int = 0) -> Finding:
        """The protocols, on validation and, if that is looked at, on the test set.

        `further` is by how many values of C the authors' seven for few labels may be continued.
        """
        labels, params = self.labels, self.params
        sets = (features["train"], labels["train"], self.fitting, features.get("test"), labels.get("test"))
        few = {
            count: few_labels(
                *sets,
                per_class=count,
                choosing=CHOOSING_DRAWS,
                draws=params.draws,
                seed=params.seed,
                label=f"{name}, {count} labels a class",
                further=further,
            )
            for count in params.labels_per_class
        }
        choice = self.choose(name, features["train"])
        return Finding(probe(choice, *sets, tolerance=params.tolerance, label=name), few)

    def supervised(self, config: dict[str, Any]) -> dict[int | None, Supervised]:
        """The network of that config on the labels alone: with all of them (None), and with so many a class."""
        params = self.params
        return {
            count: supervised(
                config,
                self.pixels,
                self.labels,
                self.fitting,
                trials=params.supervised_trials,
                steps=params.supervised_steps,
                seed=params.seed,
                device=self.device,
                folder=work_folder() / "supervised",
                label="supervised" + (f", {count} labels a class" if count else ""),
                per_class=count,
                draws=range(CHOOSING_DRAWS, CHOOSING_DRAWS + params.draws),
            )
            for count in (None, *params.labels_per_class)
        }
