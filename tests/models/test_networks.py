import math
from typing import Any, cast

import numpy as np
import pytest
import torch

from ganpipe.models.dcgan import ARCHITECTURES
from ganpipe.models.mlp import PERCEPTRONS
from ganpipe.models.networks import DISCRIMINATOR, GENERATOR, initialise, make, served
from ganpipe.models.pixels import from_network
from ganpipe.models.unet import UNETS


def generator(architecture: str) -> torch.nn.Module:
    shape = {"width": 2} if architecture in UNETS else {"width": 2, "latent": 3}
    made = make(GENERATOR, {**shape, "architecture": architecture})
    initialise(made, torch.Generator().manual_seed(0))
    return made


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *PERCEPTRONS, *UNETS])
def test_what_is_served_has_the_form_that_is_told(architecture: str) -> None:
    network = generator(architecture)
    given, made = served(cast(Any, network).config)
    with torch.no_grad():
        x = torch.rand(2, *given.shape)
        out = network(x.permute(0, 3, 1, 2) if architecture in UNETS else x)
    assert (given.dtype == np.uint8) == (architecture in UNETS)
    result = from_network(out) if made.dtype == np.uint8 else out.numpy()
    assert (result.shape, result.dtype) == ((2, *made.shape), made.dtype)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *PERCEPTRONS, *UNETS])
def test_a_config_makes_the_same_network_again(architecture: str) -> None:
    network = generator(architecture)
    again = make(f"{GENERATOR}_average", cast(Any, network).config)
    again.load_state_dict(network.state_dict())
    assert type(again) is type(network)


def test_the_other_player_is_told_by_its_name() -> None:
    assert type(make(DISCRIMINATOR, {"width": 2, "architecture": "mlp28"})).__name__ == "PerceptronDiscriminator"
    assert type(make(DISCRIMINATOR, {"width": 2, "architecture": "patch"})).__name__ == "PatchDiscriminator"
    with pytest.raises(ValueError, match="no network is called vqgan"):
        make(GENERATOR, {"width": 2, "architecture": "vqgan"})


@pytest.mark.parametrize("name", [GENERATOR, DISCRIMINATOR])
def test_both_fully_connected_players_start_as_their_paper_says(name: str) -> None:
    shape = {"width": 64, "latent": 16} if name == GENERATOR else {"width": 64}
    network = make(name, {**shape, "architecture": "mlp28"})
    initialise(network, torch.Generator().manual_seed(0))
    for weight in (parameter for parameter in network.parameters() if parameter.dim() == 2):
        limit = math.sqrt(6 / sum(weight.shape))  # Glorot and Bengio 2010, equation 16
        assert 0.9 * limit < float(weight.detach().abs().max()) <= limit
