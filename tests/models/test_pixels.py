import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.models.dcgan import Discriminator, initialise
from ganpipe.models.norm import freeze_statistics
from ganpipe.models.pixels import STATISTICS_BATCH, freeze_on, from_network, minibatches, to_network


def all_levels() -> np.ndarray:
    """uint8 (2, 8, 16, 3) with each of the 256 levels in each channel, no two channels alike."""
    levels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    return np.stack([levels, np.roll(levels, 85), 255 - levels], axis=-1)


def test_every_level_survives_the_round_trip() -> None:
    pixels = all_levels()
    back = from_network(to_network(torch.from_numpy(pixels)))
    assert back.dtype == np.uint8
    assert (back == pixels).all()


def test_every_level_survives_half_a_levels_error() -> None:
    images = to_network(torch.from_numpy(all_levels()))
    for error in (-0.49, 0.49):
        assert (from_network(images + error / 127.5) == all_levels()).all()


def test_networks_take_channels_first_from_minus_1_to_1() -> None:
    pixels = all_levels()
    images = to_network(torch.from_numpy(pixels))
    assert (images.shape, images.dtype) == ((2, 3, 8, 16), torch.float32)
    assert (images.min().item(), images.max().item()) == (-1, 1)
    np.testing.assert_allclose(images.numpy(), pixels.transpose(0, 3, 1, 2) / 127.5 - 1, atol=1e-6)


def test_what_is_out_of_range_is_clipped() -> None:
    images = torch.tensor([-1.5, -1.0, 1.0, 1.5]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert from_network(images)[0, :, :, 0].tolist() == [[0, 0], [255, 255]]


@given(st.integers(1, 1000), st.integers(1, 200))
def test_minibatches_are_in_order_and_full_but_for_the_last(count: int, size: int) -> None:
    batches = list(minibatches(count, size))
    assert all(len(batch) == size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= size
    assert np.concatenate(batches).tolist() == list(range(count))


@pytest.mark.parametrize("count", [40, 300])
def test_statistics_are_frozen_over_minibatches_of_the_corpus(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)
    corpus[: count // 2] //= 4  # minibatches unlike each other, so that other cuts would show
    one, other = Discriminator(2), Discriminator(2)
    for network in (one, other):
        initialise(network, torch.Generator().manual_seed(0))
    freeze_on(one, count, lambda indices: corpus[indices], torch.device("cpu"))
    cuts = [corpus[start : start + STATISTICS_BATCH] for start in range(0, count, STATISTICS_BATCH)]
    freeze_statistics(other, [to_network(torch.from_numpy(cut)) for cut in cuts])
    assert not one.training
    assert f"averaging batch statistics: {count}/{count} images (100 %)" in capsys.readouterr().err
    for (name, a), (_, b) in zip(one.named_buffers(), other.named_buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)
