"""The yardstick is only one if it trains the same networks."""

import numpy as np
import pytest
import torch
from copied_loop import images_per_second, networks

from ganpipe.models.dcgan import ARCHITECTURES, Discriminator, Generator


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_its_networks_have_our_shapes(name: str) -> None:
    theirs, ours = networks(name, 4, 10), (Generator(4, 10, name), Discriminator(4, name))
    for copied, network in zip(theirs, ours, strict=True):
        shapes = [sorted(tuple(p.shape) for p in each.parameters()) for each in (copied, network)]
        assert shapes[0] == shapes[1]
    images = theirs[0](torch.zeros(2, 10))
    assert images.shape == (2, 3, ARCHITECTURES[name].size, ARCHITECTURES[name].size)
    assert theirs[1](images).shape == (2, 1)


def test_it_runs() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), np.uint8)
    assert images_per_second(pixels, "dcgan32", 2, 4, 8, torch.device("cpu"), 1, 2) > 0
