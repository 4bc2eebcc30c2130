from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ganpipe.models.norm import BatchNorm, freeze_statistics

EPSILON = 1e-8


def noise(seed: int, *shape: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale + shift


def layer(channels: int) -> BatchNorm:
    """With a gain and a bias that are not the neutral ones."""
    made = BatchNorm(channels)
    with torch.no_grad():
        made.weight.copy_(noise(100, channels, shift=1.0))
        made.bias.copy_(noise(101, channels))
    return made


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel, in double precision."""
    flat = x.double().transpose(0, 1).flatten(1)
    return flat.mean(1), flat.var(1, correction=0)


def normalised(x: Tensor, mean: Tensor, variance: Tensor, norm: BatchNorm) -> Tensor:
    mean, variance, gain, bias = (v.double()[:, None, None] for v in (mean, variance, norm.weight, norm.bias))
    return (x.double() - mean) / (variance + EPSILON).sqrt() * gain + bias


def average(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    means, variances = zip(*pairs, strict=True)
    return torch.stack(means).mean(0), torch.stack(variances).mean(0)


@given(st.integers(2, 9), st.integers(1, 5), st.floats(0.01, 100), st.floats(-3, 3))
def test_training_normalises_by_the_batchs_own_statistics(
    count: int, channels: int, scale: float, shift: float
) -> None:
    norm, x = layer(channels), noise(count, count, channels, 3, 2, scale=scale, shift=shift * scale)
    torch.testing.assert_close(norm(x).double(), normalised(x, *statistics(x), norm), rtol=1e-4, atol=1e-4)


def test_earlier_batches_leave_no_trace() -> None:
    norm, x = layer(3), noise(0, 4, 3, 5, 5)
    alone = norm(x)
    norm(noise(1, 8, 3, 5, 5, scale=10, shift=7))
    assert torch.equal(norm(x), alone)
    assert torch.equal(norm.mean, torch.zeros(3))  # nothing is averaged while training
    assert torch.equal(norm.variance, torch.ones(3))


def test_a_constant_channel_becomes_its_bias() -> None:
    norm = layer(2)
    out = norm(torch.full((4, 2, 3, 3), 0.5))
    # Dividing by sqrt(epsilon) makes 1e-4 of a mean's last bit.
    torch.testing.assert_close(out, norm.bias[None, :, None, None].expand_as(out), rtol=0, atol=1e-3)


def test_two_corpora_normalised_apart_are_not_normalised_together() -> None:
    norm, real, fake = layer(3), noise(0, 8, 3, 4, 4), noise(1, 8, 3, 4, 4, shift=2.0)
    apart, together = torch.cat([norm(real), norm(fake)]), norm(torch.cat([real, fake]))
    assert (apart - together).abs().max() > 0.1


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_frozen_statistics_are_plain_averages_over_minibatches(sizes: list[int]) -> None:
    # Of unequal size and unlike each other, so that weighting by size or by order would show.
    batches = [noise(i, size, 3, 4, 4, scale=1 + i, shift=float(i)) for i, size in enumerate(sizes)]
    norm = layer(3)
    freeze_statistics(norm, batches)
    mean, variance = average([statistics(batch) for batch in batches])
    torch.testing.assert_close(norm.mean.double(), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.variance.double(), variance, rtol=1e-4, atol=1e-5)


def test_a_second_layers_statistics_are_taken_above_batch_statistics() -> None:
    below, first = nn.Conv2d(3, 4, 3, bias=False), layer(4)
    above, second = nn.Conv2d(4, 5, 3, bias=False), layer(5)
    batches = [noise(i, 6, 3, 8, 8, scale=1 + i, shift=float(i)) for i in range(3)]
    lower, upper = [], []
    for batch in batches:
        x = nn.functional.conv2d(batch, below.weight)
        lower.append(statistics(x))
        x = normalised(x, *lower[-1], first).relu().float()
        upper.append(statistics(nn.functional.conv2d(x, above.weight)))

    freeze_statistics(nn.Sequential(below, first, nn.ReLU(), above, second), batches)
    for norm, (mean, variance) in ((first, average(lower)), (second, average(upper))):
        torch.testing.assert_close(norm.mean.double(), mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.variance.double(), variance, rtol=1e-4, atol=1e-5)


def test_frozen_statistics_are_what_inference_uses() -> None:
    norm, x = layer(3), noise(9, 5, 3, 4, 4)
    freeze_statistics(norm, [noise(0, 8, 3, 4, 4, scale=3.0, shift=1.0)])
    assert not norm.training
    torch.testing.assert_close(norm(x).double(), normalised(x, norm.mean, norm.variance, norm), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm(x)[:1], norm(x[:1]))  # whatever else is in the batch


def test_freezing_again_forgets_what_was_frozen() -> None:
    norm, fresh, batches = layer(3), layer(3), [noise(i, 4, 3, 2, 2, shift=i) for i in range(4)]
    freeze_statistics(norm, batches[:2])
    freeze_statistics(norm, batches[2:])
    freeze_statistics(fresh, batches[2:])
    assert torch.equal(norm.mean, fresh.mean)
    assert torch.equal(norm.variance, fresh.variance)


def test_freezing_changes_no_parameter() -> None:
    norm = layer(3)
    before = [parameter.clone() for parameter in norm.parameters()]
    freeze_statistics(norm, [noise(0, 4, 3, 2, 2)])
    assert all(torch.equal(a, b) for a, b in zip(before, norm.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in norm.parameters())


def test_training_after_freezing_uses_batch_statistics_again() -> None:
    norm, x = layer(3), noise(2, 4, 3, 2, 2)
    before = norm(x)
    freeze_statistics(norm, [noise(0, 4, 3, 2, 2, shift=5.0)])
    frozen = norm.mean.clone()
    assert torch.equal(norm.train()(x), before)
    assert torch.equal(norm.mean, frozen)


def test_nothing_to_freeze_on_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one batch"):
        freeze_statistics(layer(3), [])


def test_order_of_minibatches_does_not_matter() -> None:
    batches = [noise(i, 4, 3, 2, 2, shift=i) for i in range(4)]
    one, other = layer(3), layer(3)
    freeze_statistics(one, batches)
    freeze_statistics(other, batches[::-1])
    assert all(not torch.equal(*pair) for pair in pairwise(batches))
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(one.variance, other.variance)
