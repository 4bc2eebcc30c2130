import copy

import torch
from torch import nn

from ganpipe.training.averages import RAMP, Average


def made(value: float) -> nn.Module:
    network = nn.Linear(2, 1)
    for parameter in network.parameters():
        nn.init.constant_(parameter, value)
    return network


def test_it_is_the_exponential_average_with_a_ramp() -> None:
    average, expected = Average(made(0.0), 0.9), 0.0
    for number, value in enumerate([1.0, -2.0, 5.0, 3.0] * 30):
        average.follow(made(value))
        decay = min(0.9, (1 + number) / (RAMP + number))
        expected = decay * expected + (1 - decay) * value
    for parameter in average.network.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, expected))


def test_following_what_stands_still_arrives_there() -> None:
    average = Average(made(0.0), 0.9)
    for _ in range(300):
        average.follow(made(4.0))
    torch.testing.assert_close(next(average.network.parameters()), torch.full((1, 2), 4.0))


def test_it_leaves_the_network_alone_and_takes_no_gradients() -> None:
    network = made(1.0)
    average = Average(network, 0.5)
    average.follow(made(2.0))
    assert float(next(network.parameters())[0, 0]) == 1.0
    assert not any(parameter.requires_grad for parameter in average.network.parameters())


def test_state_continues_to_the_same_bits() -> None:
    straight = Average(made(0.0), 0.99)
    for value in range(5):
        straight.follow(made(value))
    resumed = Average(made(7.0), 0.99)
    resumed.load_state(copy.deepcopy(straight.state()))
    for average in (straight, resumed):
        average.follow(made(9.0))
    for one, other in zip(straight.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_buffers_are_copied() -> None:
    network = nn.BatchNorm2d(2)
    average = Average(network, 0.9)
    assert network.running_mean is not None
    network.running_mean.fill_(3.0)
    average.follow(network)
    assert torch.equal(dict(average.network.named_buffers())["running_mean"], torch.full((2,), 3.0))
