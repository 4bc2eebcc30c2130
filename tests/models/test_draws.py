import math

import numpy as np
import pytest
import torch

from ganpipe.models.dcgan import Generator, initialise
from ganpipe.models.draws import BATCH, drawn, noise


def test_noise_is_of_its_distribution_and_seeded() -> None:
    z = noise(500, 40, "uniform", 7, 1)
    assert torch.equal(z, noise(500, 40, "uniform", 7, 1))
    assert not torch.equal(z, noise(500, 40, "uniform", 7, 2))
    assert not torch.equal(z, noise(500, 40, "uniform", 7))
    assert -1 <= z.min() < -0.99 and 0.99 < z.max() <= 1
    assert abs(z.mean()) < 0.02 and abs(z.var() - 1 / 3) < 0.01
    normal = noise(500, 40, "normal", 7, 1)
    assert abs(normal.mean()) < 0.03 and abs(normal.var() - 1) < 0.03


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_truncation_keeps_z_near_0(distribution: str) -> None:
    free, kept = (noise(2000, 8, distribution, 3, truncation=most) for most in (None, 0.5))
    assert free.abs().max() > 0.9
    assert 0.49 < kept.abs().max() <= 0.5
    # Of a normal distribution within 0.5 the standard deviation is 0.283, of a uniform one 0.289.
    assert math.isclose(float(kept.std()), 0.283 if distribution == "normal" else 0.289, abs_tol=0.005)


def test_images_of_many_z_are_those_of_each_in_their_order() -> None:
    generator = Generator(2, 5).eval()
    initialise(generator, torch.Generator().manual_seed(0))
    for parameter in generator.parameters():
        parameter.data.mul_(8)  # so that images differ
    z = noise(BATCH + 3, 5, "uniform", 0)
    images = drawn(generator, z, torch.device("cpu"))
    assert images.shape == (BATCH + 3, 32, 32, 3) and images.dtype == np.uint8
    last = drawn(generator, z[-1:], torch.device("cpu"))[0]
    assert np.abs(images[-1].astype(int) - last).max() <= 1  # of another batch's size the rounding may differ
    assert (images[0] != images[-1]).any()
