"""What the loop has to know of a kind of training: two networks that play against each other on a corpus."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from ganpipe.corpus.shards import Images
from ganpipe.models.mlp import PERCEPTRONS
from ganpipe.models.networks import Networks
from ganpipe.training.curves import Row
from ganpipe.training.params import Training, TrainParams, TranslateParams
from ganpipe.training.sampling import Sampling
from ganpipe.training.step import Step
from ganpipe.training.translation import Translation


class Game(Protocol):
    """A kind of training. Batches are pure functions of (seed, step), and so are steps of them."""

    @property
    def update(self) -> Step:
        """The step."""

    @property
    def batches(self) -> Callable[[int], Any]:
        """What it takes."""

    def draw(self) -> Tensor:
        """What the generator makes now, of the same given each time."""

    def picture(self, drawn: Tensor) -> Image.Image:
        """That, to look at."""

    def vitals(self, drawn: Tensor) -> Row:
        """That, in figures for the curves."""

    def freeze(self, networks: Networks) -> None:
        """Freeze the statistics that inference uses."""


def threads(params: Training) -> int | None:
    """How many threads of a CPU it pays to use; None for all: those of small networks wait more than they work."""
    return 1 if params.network in PERCEPTRONS else None


def choose(params: Training, images: Images, device: torch.device, precision: torch.dtype) -> Game:
    """The game that the settings describe; a UserError where the corpus does not fit."""
    if isinstance(params, TranslateParams):
        return Translation(params, images, device, precision)
    assert isinstance(params, TrainParams)  # noqa: S101 (there are no others)
    return Sampling(params, images, device, precision)
