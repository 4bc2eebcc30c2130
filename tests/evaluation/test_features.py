import errno
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ganpipe.evaluation.features import BATCH, Levers, extract, scale
from ganpipe.models.dcgan import Discriminator, initialise
from ganpipe.models.norm import BatchNorm, freeze_statistics
from ganpipe.models.pixels import to_network

WIDTH, CPU = 4, torch.device("cpu")
STRIDES = [1, 2, 1, 2, 1, 2]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """More than the network is given at a time."""
    return np.random.default_rng(0).integers(0, 256, (BATCH + 10, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def network(pixels: np.ndarray) -> Discriminator:
    made = Discriminator(WIDTH)
    initialise(made, torch.Generator().manual_seed(0))
    freeze_statistics(made, [to_network(torch.from_numpy(pixels[:64]))])
    return made


def plain(network: Discriminator, pixels: np.ndarray) -> Tensor:
    """The paper's words in order, in double precision: convolve, normalise, leak, take the largest in 4x4 fields."""
    x = torch.from_numpy(pixels).double().permute(0, 3, 1, 2) / 127.5 - 1
    parts = []
    for conv, norm, stride in zip(network.convs, network.norms, STRIDES, strict=True):
        x = F.conv2d(x, conv.get_parameter("weight").double(), stride=stride, padding=1)
        if isinstance(norm, BatchNorm):
            mean, variance, gain, bias = (
                v.double()[:, None, None] for v in (norm.mean, norm.variance, norm.weight, norm.bias)
            )
            x = (x - mean) / (variance + 1e-8).sqrt() * gain + bias
        x = torch.where(x > 0, x, 0.2 * x)
        side = x.shape[-1] // 4
        parts.append(x.reshape(len(x), x.shape[1], 4, side, 4, side).amax((3, 5)).flatten(1))
    return torch.cat(parts, dim=1)


def test_features_are_the_papers(network: Discriminator, pixels: np.ndarray) -> None:
    features = extract(network, pixels, CPU, "test")
    assert (features.shape, features.dtype) == ((len(pixels), network.feature_count), torch.float32)
    torch.testing.assert_close(features.double(), plain(network, pixels), rtol=1e-4, atol=1e-5)


def test_an_images_features_do_not_depend_on_its_company(network: Discriminator, pixels: np.ndarray) -> None:
    together = extract(network, pixels, CPU, "test")
    for index in (0, BATCH - 1, BATCH, len(pixels) - 1):
        alone = extract(network, pixels[index : index + 1], CPU, "test")
        torch.testing.assert_close(alone[0], together[index], rtol=1e-5, atol=1e-5)


def test_a_network_in_training_is_read_with_its_frozen_statistics(network: Discriminator, pixels: np.ndarray) -> None:
    expected = extract(network, pixels[:8], CPU, "test")
    assert torch.equal(extract(network.train(), pixels[:8], CPU, "test"), expected)


def test_features_carry_no_gradients(network: Discriminator, pixels: np.ndarray) -> None:
    assert not extract(network, pixels[:2], CPU, "test").requires_grad


def lever(network: Discriminator, pixels: np.ndarray, **levers: Any) -> Tensor:
    return extract(network, pixels, CPU, "test", Levers(**levers))


def by_layer(network: Discriminator, features: Tensor) -> list[Tensor]:
    return list(torch.split(features, [16 * WIDTH * filters for filters in (1, 1, 2, 2, 4, 4)], dim=1))


def test_chosen_layers_are_their_part_of_all(network: Discriminator, pixels: np.ndarray) -> None:
    every = by_layer(network, extract(network, pixels[:8], CPU, "test"))
    chosen = lever(network, pixels[:8], layers=(2, 6))
    assert torch.equal(chosen, torch.cat([every[1], every[5]], dim=1))


def test_mean_pooling_is_the_mean_of_each_field(network: Discriminator, pixels: np.ndarray) -> None:
    maps = network.activations(to_network(torch.from_numpy(pixels[:8])))[0]
    fields = maps.reshape(8, maps.shape[1], 4, 8, 4, 8).mean((3, 5)).flatten(1)
    torch.testing.assert_close(lever(network, pixels[:8], pooling="mean", layers=(1,)), fields)
    both = lever(network, pixels[:8], pooling="both", layers=(1,))
    torch.testing.assert_close(both, torch.cat([lever(network, pixels[:8], layers=(1,)), fields], dim=1))


def test_a_flip_makes_an_image_and_its_mirror_image_alike(network: Discriminator, pixels: np.ndarray) -> None:
    plain_ones, mirrored = (extract(network, part, CPU, "test") for part in (pixels[:8], pixels[:8, :, ::-1].copy()))
    for part in (pixels[:8], pixels[:8, :, ::-1].copy()):
        torch.testing.assert_close(lever(network, part, flip=True), (plain_ones + mirrored) / 2, rtol=1e-4, atol=1e-5)


def test_features_may_be_held_in_bf16(network: Discriminator, pixels: np.ndarray) -> None:
    wide, held = extract(network, pixels, CPU, "x"), extract(network, pixels, CPU, "x", dtype=torch.bfloat16)
    assert held.dtype == torch.bfloat16 and torch.equal(held, wide.bfloat16())


def test_half_precision_features_lie_in_a_file_that_nobody_has_to_remove(
    network: Discriminator, pixels: np.ndarray
) -> None:
    halved = lever(network, pixels, half=True)
    assert halved.dtype == torch.float16
    torch.testing.assert_close(halved.float(), extract(network, pixels, CPU, "test"), rtol=1e-3, atol=1e-4)
    assert not [path for path in Path(".ckpt").rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_standardised_features_have_mean_0_and_variance_1_over_the_training_set(kind: torch.dtype) -> None:
    source = np.random.default_rng(0)
    train, test = (torch.from_numpy(source.normal(3, 2, (count, 5))).to(kind) for count in (3000, 400))
    train[:, 2] = test[:, 2] = 4  # constant: centred, and left alone
    before, mean, deviation = test.clone().double(), train.double().mean(0), train.double().std(0, correction=0)
    scale(train, [test], "standardised")
    close = partial(torch.testing.assert_close, rtol=1e-2, atol=5e-3 if kind == torch.float16 else 1e-4)
    varying = [0, 1, 3, 4]
    close(train.double().mean(0), torch.zeros(5).double())
    close(train.double().std(0, correction=0)[varying], torch.ones(4).double())
    close(test.double()[:, varying], ((before - mean) / deviation)[:, varying])
    assert (train[:, 2] == 0).all()


def test_signed_roots_keep_the_sign() -> None:
    train, test = torch.tensor([[-4.0, 9.0, 0.0]]), torch.tensor([[1.0, -16.0, 25.0]])
    scale(train, [test], "signed_root")
    assert train.tolist() == [[-2, 3, 0]]
    assert test.tolist() == [[1, -4, 5]]


def test_no_scaling_changes_nothing() -> None:
    train = torch.tensor([[-4.0, 9.0, 0.0]])
    scale(train, [], "none")
    assert train.tolist() == [[-4, 9, 0]]


def test_a_disk_too_small_for_the_features_is_an_error_and_no_crash(
    network: Discriminator, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        assert (offset, length) == (0, 2 * len(pixels) * network.feature_count)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        lever(network, pixels, half=True)
