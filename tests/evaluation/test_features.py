import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ganpipe.evaluation.features import BATCH, extract
from ganpipe.models.dcgan import Discriminator, initialise
from ganpipe.models.norm import BatchNorm, freeze_statistics
from ganpipe.models.pixels import to_network

CPU = torch.device("cpu")
STRIDES = [1, 2, 1, 2, 1, 2]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """More than the network is given at a time."""
    return np.random.default_rng(0).integers(0, 256, (BATCH + 10, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def network(pixels: np.ndarray) -> Discriminator:
    made = Discriminator(4)
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
