"""A folder of released discriminators: its headline.yaml, and the networks and settings that this names."""

from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import yaml
from levers import PAPER, shorten
from pydantic import Field, ValidationError, model_validator
from torch import Tensor

from ganpipe import files
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation.features import BATCH, Levers, extract, of_batch
from ganpipe.evaluation.judge import Features, Judge, refuse_other_layers
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.report import initial
from ganpipe.models.dcgan import Discriminator
from ganpipe.models.store import load_config, load_discriminator, refuse_classifier
from ganpipe.progress import Progress
from ganpipe.runtime import choose_device, choose_precision, engine, world
from ganpipe.settings import Section

QUICK = 5_000  # training images
HEAD = "# The rows of `make headline`: how each discriminator is probed, and what was found when that was chosen.\n"


class Row(Section):
    """A discriminator and how it is probed; the rest is null until `headline.py --choose` and `make headline`."""

    name: str
    weights: str = Field(description="folder beside headline.yaml")
    probe: dict[str, Any] = Field(description="settings of `evaluate` that are not the paper's")
    C: float | None = Field(default=None, gt=0, description="of the SVM, that validation chose")
    C_untrained: float | None = Field(
        default=None, gt=0, description="of the same network untrained; null where an earlier row has that control"
    )
    validation: float | None = Field(default=None, ge=0, le=1)
    validation_untrained: float | None = Field(default=None, ge=0, le=1)
    test: float | None = Field(default=None, ge=0, le=1)


class Headline(Section):
    """The content of headline.yaml."""

    rows: list[Row] = Field(min_length=1)
    C_pixels: float | None = Field(default=None, gt=0)
    validation_pixels: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({row.name for row in self.rows}) < len(self.rows):
            raise ValueError("two rows have one name")
        return self


def read(folder: Path) -> Headline:
    """headline.yaml; a UserError where it is missing or says something else."""
    path = folder / "headline.yaml"
    try:
        return Headline.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"there is no {path}: name a folder of released/") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}") from None


def write(folder: Path, headline: Headline) -> None:
    """headline.yaml anew."""
    with files.atomic(folder / "headline.yaml") as draft:
        draft.write_text(HEAD + yaml.safe_dump(headline.model_dump(exclude_none=True), sort_keys=False))


class Subject(NamedTuple):
    """What is measured: a row's discriminator, or what it was before training. C and validation are what was chosen."""

    name: str
    row: Row
    untrained: bool
    C: float | None
    validation: float | None


def subjects(rows: list[Row], folder: Path) -> list[Subject]:
    """The rows, then their controls, each once: those of one network stand together."""
    found = [Subject(row.name, row, False, row.C, row.validation) for row in rows]
    controls: list[dict[str, Any]] = []
    for row in rows:
        if (control := control_of(row, folder)) not in controls:
            controls.append(control)
            found.append(Subject(f"{row.name}, untrained", row, True, row.C_untrained, row.validation_untrained))
    return found


def refuse_unchosen(folder: Path, headline: Headline) -> None:
    """A UserError where something is without its C."""
    missing = [each.name for each in subjects(headline.rows, folder) if each.C is None]
    missing += [] if headline.C_pixels else ["raw pixels"]
    if missing:
        raise UserError(f"{folder / 'headline.yaml'} has no C of {'; '.join(missing)}: --choose finds it")


def control_of(row: Row, folder: Path) -> dict[str, Any]:
    """All that the untrained network's figures depend on."""
    probe = {key: value for key, value in row.probe.items() if key != "average"}
    return {**_before_training(load_config(folder / row.weights)), "probe": probe}


def _before_training(config: dict[str, Any]) -> dict[str, Any]:
    """All that the features of the network before training follow from: a rotation head is no part of them."""
    shape = {key: value for key, value in (config.get("discriminator") or {}).items() if key != "rotation"}
    return {"shape": shape, "seed": _seed(config), "resize": config["corpus"]["resize"]}


def judge_of(probe: dict[str, Any], labelled: Images, size: int, resize: str, quick: bool, **changes: Any) -> Judge:
    """With the paper's probe but for these settings."""
    try:
        params = EvaluateParams.model_validate({**PAPER, **probe, "test": True, **changes})
    except ValidationError as error:
        raise UserError(f"a probe of headline.yaml is damaged: {' '.join(str(error).split())}") from None
    judge = Judge(params, labelled, size, resize, choose_device())
    if quick:
        shorten(judge, QUICK)
    return judge


class Loader:
    """Loads what is measured; the features of the last network's images are kept, for the next probe of it."""

    def __init__(self, folder: Path, labelled: Images, quick: bool, **changes: Any) -> None:
        if world()[1] > 1:
            raise UserError("a release is measured by one process: start it without torchrun")
        self.folder, self.labelled, self.quick, self.changes = folder, labelled, quick, changes
        self._networks: dict[str, Discriminator] = {}
        self._taken: dict[Levers, dict[str, Tensor]] = {}

    def judge(self, subject: Subject) -> Judge:
        """Who measures it. A UserError where it has seen the images, or the probe does not fit."""
        weights = self.folder / subject.row.weights
        refuse_classifier(weights)
        config, name = load_config(weights), self.labelled.manifest["name"]
        if config["corpus"].get("name") == name:
            raise UserError(f"{weights} was trained on {name}, which a discriminator here never saw")
        shape = load_discriminator(weights, choose_device())
        probe, resize = subject.row.probe, config["corpus"]["resize"]
        judge = judge_of(probe, self.labelled, shape.table.size, resize, self.quick, **self.changes)
        refuse_other_layers(judge.params, shape)
        return judge

    def network(self, subject: Subject, judge: Judge) -> Discriminator:
        """With its frozen statistics; the last one is kept."""
        weights = self.folder / subject.row.weights
        config, pixels = load_config(weights), judge.pixels["train"]
        whose = _before_training(config) if subject.untrained else (weights, judge.params.average)
        key = repr((whose, judge.params.validation, judge.params.seed))  # the order of the images follows from these
        if key not in self._networks:
            self._networks, self._taken = {}, {}
            network = load_discriminator(weights, judge.device, judge.params.average)
            if subject.untrained:
                with _cast(judge.device):
                    network = initial(network, _seed(config), len(pixels), pixels.__getitem__, judge.device)
            self._networks[key] = network
        return self._networks[key]

    def features(self, subject: Subject, judge: Judge) -> Features:
        """Those that the probe asks for, of the training images and, if they are looked at, the test's.

        They are in the precision that a training would choose: in bf16 where the hardware multiplies it natively. An
        image's own are taken once for probes of one network that follow each other: its mirror image's are then added
        to them.
        """
        network, levers = self.network(subject, judge), judge.params.levers
        own, precision = levers._replace(flip=False), precision_for(judge.device)
        with _cast(judge.device):
            if (found := self._taken.pop(own, None)) is None:
                self._taken.clear()  # there may be no room for two
                found = {
                    split: extract(network, pixels, judge.device, f"{subject.name}, {split}", own, precision)
                    for split, pixels in judge.pixels.items()
                }
            if levers.flip:
                for split, pixels in judge.pixels.items():
                    label = f"{subject.name}, {split}, mirrored"
                    _add_mirrored(found[split], network, own, judge.device, pixels, label)
        if not levers.flip and judge.params.scaling == "none" and not judge.params.layer_weights:
            self._taken[own] = found
        return judge.prepared(network, found)


def precision_for(device: torch.device) -> torch.dtype:
    """Bf16 where the hardware multiplies it natively, as in a training; what a cluster's CPUs do is fp32."""
    on_cluster = engine() == "ray" and device.type == "cpu"
    return torch.float32 if on_cluster else choose_precision("auto", device)


def _cast(device: torch.device) -> torch.autocast:
    precision = precision_for(device)
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)


def _add_mirrored(
    features: Tensor, network: Discriminator, levers: Levers, device: torch.device, pixels: np.ndarray, label: str
) -> None:
    """Makes features of images the means over these and their mirror images."""
    with Progress(label, len(pixels), "images") as progress:
        for start in range(0, len(pixels), BATCH):
            mirrored = np.ascontiguousarray(pixels[start : start + BATCH, :, ::-1])
            rows = features[start : start + BATCH]
            rows.copy_((rows.float() + of_batch(network, levers, device, mirrored).to(rows.device)) / 2)
            progress.advance(len(rows))


def _seed(config: dict[str, Any]) -> int:
    """Of the training, which its first weights follow from."""
    return int(config.get("train", {}).get("seed", 0))
