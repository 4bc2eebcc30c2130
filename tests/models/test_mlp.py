import math

import pytest
import torch
from torch import nn

from ganpipe.models.mlp import PERCEPTRONS, PerceptronDiscriminator, PerceptronGenerator, initialise


def shapes(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for name, weight in network.named_parameters() if name.endswith("weight")]


def test_the_digits_networks_are_the_articles() -> None:
    generator, discriminator = PerceptronGenerator(128, 100, "mlp28"), PerceptronDiscriminator(128, "mlp28")
    assert shapes(generator) == [(128, 100), (784, 128)]
    assert shapes(discriminator) == [(128, 784), (1, 128)]
    generator.eval()
    z = torch.rand(3, 100)
    hidden = generator.hidden[0](z)
    expected = torch.tanh(generator.head(torch.where(hidden > 0, hidden, 0.01 * hidden))).view(3, 1, 28, 28)
    assert torch.equal(generator(z), expected)
    assert discriminator(expected).shape == (3,)


def test_the_numbers_networks_are_three_linear_maps_with_elu_between() -> None:
    generator, discriminator = PerceptronGenerator(16, 1, "mlp1"), PerceptronDiscriminator(8, "mlp1")
    assert shapes(generator) == [(16, 1), (16, 16), (1, 16)]
    assert shapes(discriminator) == [(8, 1), (8, 8), (1, 8)]
    z = torch.rand(5, 1)
    x = z
    for layer in generator.hidden:
        x = nn.functional.elu(layer(x))
    assert torch.equal(generator(z), generator.head(x))
    assert len(discriminator.activations(z)) == 2


def test_a_fifth_of_the_hidden_units_is_dropped_in_training_only() -> None:
    generator = PerceptronGenerator(1000, 4, "mlp28")
    (first,) = generator.hidden
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.weight.zero_()
        first.bias.fill_(1.0)
        generator.head.weight.fill_(1e-5)
        generator.head.bias.zero_()
    z = torch.zeros(200, 4)
    kept = torch.atanh(generator(z).detach()[:, 0, 0, 0]) / 1e-5 * 0.8
    assert 780 < float(kept.mean()) < 820
    assert float(kept.std()) > 5
    assert len(generator.eval()(z).unique()) == 1


@pytest.mark.parametrize("architecture", PERCEPTRONS)
def test_weights_are_glorots_and_biases_zero(architecture: str) -> None:
    network = PerceptronGenerator(64, 32, architecture)
    initialise(network, torch.Generator().manual_seed(0))
    for layer in (*network.hidden, network.head):
        limit = math.sqrt(6 / sum(layer.weight.shape))
        assert float(layer.weight.abs().max()) <= limit
        assert float(layer.weight.std()) == pytest.approx(limit / math.sqrt(3), rel=0.2)
        assert not layer.bias.any()
