"""Networks by the names that files and checkpoints give them, built from their `config`."""

from typing import Any

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
