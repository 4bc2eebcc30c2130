"""Networks by the names that files and checkpoints give them, built from their `config`."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ganpipe.models import dcgan, mlp
from ganpipe.models.dcgan import ARCHITECTURES, Discriminator, Generator
from ganpipe.models.mlp import PERCEPTRONS, PerceptronDiscriminator, PerceptronGenerator
from ganpipe.models.patch import PatchDiscriminator
from ganpipe.models.unet import UNETS, UNet

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
AVERAGE = "_average"  # behind the name of the network that it follows
Networks = dict[str, nn.Module]  # by those four names


class Form(NamedTuple):
    """Of one sample, as programs outside have it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def served(config: dict[str, Any]) -> tuple[Form, Form]:
    """What a generator of that config takes and makes: z float32 (latent,), or images and images uint8 (S, S, C)."""
    architecture, numbers, pixels = config["architecture"], np.dtype(np.float32), np.dtype(np.uint8)
    if architecture in UNETS:
        image = Form((UNETS[architecture].size, UNETS[architecture].size, 3), pixels)
        return image, image
    z = Form((config["latent"],), numbers)
    if architecture in PERCEPTRONS:
        channels, *places = PERCEPTRONS[architecture].shape
        return z, Form((*places, channels), pixels if places else numbers)
    size = ARCHITECTURES[architecture].size
    return z, Form((size, size, 3), pixels)


def make(name: str, config: dict[str, Any]) -> nn.Module:
    """The network `name` with the shape that `config` tells, its weights not yet filled."""
    architecture, generates = config["architecture"], name.removesuffix(AVERAGE) == GENERATOR
    if architecture in UNETS:
        return UNet(**config)
    if architecture == "patch":
        return PatchDiscriminator(config["width"])
    if architecture in PERCEPTRONS:
        return PerceptronGenerator(**config) if generates else PerceptronDiscriminator(**config)
    if architecture not in ARCHITECTURES:
        raise ValueError(f"no network is called {architecture}")
    return Generator(**config) if generates else Discriminator(**config)


def initialise(network: nn.Module, source: torch.Generator) -> None:
    """Fill the weights as the network's paper does, from `source` alone."""
    if isinstance(network, PerceptronGenerator | PerceptronDiscriminator):
        mlp.initialise(network, source)
    else:
        dcgan.initialise(network, source)
