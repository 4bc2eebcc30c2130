"""Which trained models there are to show, by what their `config.json` says."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.files import STUDIES
from ganpipe.manifest import MANIFEST
from ganpipe.models.dcgan import ARCHITECTURES
from ganpipe.models.mlp import PERCEPTRONS
from ganpipe.models.networks import AVERAGE, DISCRIMINATOR, GENERATOR
from ganpipe.models.store import AVERAGED, CONFIG, load_config, split_average
from ganpipe.models.unet import UNETS

PLACES = ("models/gan", f"{STUDIES}/*/models/gan", "released/*")  # below the project's root

Kind = Literal["translator", "generator"]


@dataclass(frozen=True)
class Model:
    """One that makes images: from other images, or from noise."""

    name: str  # in addresses, and unlike all others'
    folder: Path
    average: bool
    config: dict[str, Any]
    kind: Kind
    size: int  # pixels a side of its images
    project: Path  # the folder that holds its `data/`

    @property
    def train(self) -> dict[str, Any]:
        """The settings that it was trained with."""
        settings: dict[str, Any] = self.config.get("train", {})
        return settings

    @property
    def latent(self) -> int:
        """Length of z; 0 of a translator."""
        return int(self.config[GENERATOR].get("latent", 0))

    @property
    def noise(self) -> str:
        """The distribution of z."""
        return str(self.train.get("noise", "uniform"))

    @property
    def draws(self) -> bool:
        """Whether it makes photographs of drawn labels."""
        return self.kind == "translator" and self.train.get("direction") == "BtoA"

    @property
    def inspects(self) -> bool:
        """Whether its discriminator has features of images."""
        architecture = str(self.config[DISCRIMINATOR].get("architecture"))
        return self.kind == "generator" and architecture in ARCHITECTURES

    @property
    def processed(self) -> Path:
        """The folder in which the images are that its project trains on."""
        return self.project / "data" / "processed"

    def corpus(self) -> Images | None:
        """The images that it was trained on, where they are here; by their size alone where its config does not say."""
        if not (self.processed / MANIFEST).exists():
            return None
        images = Images(self.processed)
        shape = [self.size, self.size, 6 if self.kind == "translator" else 3]
        fits = images.manifest["container"] == "pixels" and images.manifest["shape"][1:] == shape
        trained_on = self.config.get("corpus", {}).get("processed")
        return images if fits and trained_on in (None, images.digest) else None

    def no_corpus(self) -> str:
        """Why `corpus` gave none."""
        if (self.processed / MANIFEST).exists():
            return "the images here are others than it was trained on"
        return "the training images are not here: `dvc repro preprocess` brings them"


def named(given: Sequence[str]) -> list[Model]:
    """The models in these folders, `:average` behind one for its averaged weights; UserError where one is none."""
    return _distinct([_model(text) for text in given])


def found(root: Path) -> tuple[list[Model], list[str]]:
    """Every model in its usual place below `root`, and why others there are not shown."""
    models, reasons = [], []
    for folder in _folders(root):
        try:
            models.append(_model(str(folder)))
        except UserError as error:
            reasons.append(str(error))
    return _distinct(models), reasons


def _folders(root: Path) -> Iterable[Path]:
    for place in PLACES:
        yield from sorted(path.parent for path in root.glob(f"{place}/{CONFIG}"))


def _model(text: str) -> Model:
    folder, average = split_average(text)
    config = _config(folder)
    if GENERATOR not in config:
        raise UserError(f"{folder} holds no generator, so that there is nothing to show: name another folder")
    if average and GENERATOR + AVERAGE not in config["sha256"]:
        raise UserError(f"{folder} holds no averaged generator: leave out {AVERAGED}")
    architecture = str(config[GENERATOR].get("architecture"))
    tables: dict[str, Any] = {**UNETS, **ARCHITECTURES, **PERCEPTRONS}
    network = tables.get(architecture)
    if network is None:
        raise UserError(f"{folder} holds a generator that this version does not know: {architecture[:64]!r}")
    kind: Kind = "translator" if architecture in UNETS else "generator"
    if architecture in PERCEPTRONS and len(PERCEPTRONS[architecture].shape) != 3:
        raise UserError(f"{folder} makes numbers, no images, so that there is nothing to show")
    here = folder.resolve()
    project = here.parent.parent if here.parent.name == "models" else here
    name = project.name if project.parent.name in (STUDIES, "released") else _told(config, project)
    return Model(name, folder, average, config, kind, network.size, project)


def _config(folder: Path) -> dict[str, Any]:
    """What the folder's config says, each part that is read here of the form in which it is read."""
    try:
        config = load_config(folder)
    except OSError as error:
        raise UserError(f"{folder / CONFIG} cannot be read: {error.strerror}") from None
    for name in (GENERATOR, DISCRIMINATOR, "train", "corpus", "sha256"):
        if not isinstance(config.get(name, {}), dict):
            raise UserError(f"{folder} is of a form that this version does not read: {name} is no object in {CONFIG}")
    return config


def _told(config: dict[str, Any], project: Path) -> str:
    """The name of what it was trained on, else its folder's."""
    return str(config.get("corpus", {}).get("name") or project.name)


def _distinct(models: list[Model]) -> list[Model]:
    """With names of letters, digits and hyphens, each once."""
    taken: set[str] = set()
    out = []
    for model in models:
        plain = re.sub("[^a-z0-9]+", "-", model.name.lower()).strip("-") or "model"
        name = plain + ("-average" if model.average else "")
        number = 1
        while name in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name)
        out.append(replace(model, name=name))
    return out
