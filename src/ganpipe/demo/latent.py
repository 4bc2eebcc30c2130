"""Points in z's space as a person names them: samples by their seeds, sums of their means, and steps along directions.

The directions are those in which z moves the generator's first layer most: the principal directions of its maps before
the nonlinearity, which follow from the weights alone, since that layer is linear and z's numbers are alike (Härkönen et
al. 2020, GANSpace; Shen and Zhou 2021, closed-form factorisation).
"""

from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ganpipe.demo.models import Model
from ganpipe.models.dcgan import Generator
from ganpipe.models.draws import noise
from ganpipe.models.store import Sampler, load_generator

DIRECTIONS = 8
SPREAD = {"uniform": 3**-0.5, "normal": 1.0}  # standard deviation of one of z's numbers
REACH = 4.0  # of them, that a slider moves z at the most

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Term(BaseModel):
    """The mean z of the samples of these seeds, times a weight."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    weight: float = Field(default=1.0, ge=-4, le=4)
    seeds: list[Seed] = Field(min_length=1, max_length=64)


class Point(BaseModel):
    """The sum of some terms, moved along the directions by so many standard deviations of z."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    terms: list[Term] = Field(min_length=1, max_length=8)
    sliders: list[Annotated[float, Field(ge=-REACH, le=REACH)]] = Field(default=[], max_length=DIRECTIONS)


def place(point: Point, model: Model, along: Tensor) -> Tensor:
    """The z of a point, float32 (latent,); `along` is what `directions` gave."""
    z = torch.zeros(model.latent)
    for term in point.terms:
        z += term.weight * torch.stack([one(seed, model) for seed in term.seeds]).mean(0)
    if point.sliders:
        z += SPREAD[model.noise] * torch.tensor(point.sliders) @ along[: len(point.sliders)]
    return z


def one(seed: int, model: Model) -> Tensor:
    """The z of the sample with this seed, float32 (latent,)."""
    return noise(1, model.latent, model.noise, seed)[0]


def directions(model: Model) -> Tensor:
    """Unit vectors in z's space, the one that moves the first layer most first: float32 (k, latent)."""
    generator = load_generator(model.folder, torch.device("cpu"), model.average)
    weight = first_layer(generator).double()
    vectors = torch.linalg.eigh(weight.T @ weight).eigenvectors.flip(1)[:, :DIRECTIONS].T
    # A direction and its opposite are one; the sign that a library happens to give must not decide.
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return (vectors * torch.where(largest < 0, -1.0, 1.0)).float()


@torch.no_grad()
def first_layer(generator: Sampler) -> Tensor:
    """The linear map of z, (units, latent), with the gain of the normalisation behind it."""
    if not isinstance(generator, Generator):
        hidden = next(module for module in generator.modules() if isinstance(module, torch.nn.Linear))
        return hidden.weight
    norm = generator.project_norm
    gain = norm.weight / (norm.variance + norm.epsilon).sqrt()
    return generator.project.weight * gain.repeat(generator.side**2)[:, None]  # channels are what changes first


def array(points: list[Point], model: Model, along: Tensor) -> np.ndarray:
    """The z of points, float32 (n, latent)."""
    z: np.ndarray = torch.stack([place(point, model, along) for point in points]).numpy()
    return z
