import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganpipe.analysis.samples import sample, write
from ganpipe.errors import UserError
from ganpipe.models.dcgan import Discriminator, Generator, initialise
from ganpipe.models.store import save_gan

CPU = torch.device("cpu")


@pytest.fixture
def model() -> str:
    generator = Generator(2, 5)
    initialise(generator, torch.Generator().manual_seed(0))
    for parameter in generator.parameters():
        parameter.data.mul_(8)  # so that samples differ
    networks: dict[str, Generator | Discriminator] = {
        "generator": generator,
        "generator_average": Generator(2, 5),
        "discriminator": Discriminator(2),
    }
    save_gan(Path("gan"), networks, {"train": {"noise": "normal"}})
    return "gan"


def test_samples_follow_from_the_seed_alone(model: str) -> None:
    one, same, more, other = (
        sample(model, count, seed, None, CPU) for count, seed in ((7, 1), (7, 1), (300, 1), (7, 2))
    )
    assert one.shape == (7, 32, 32, 3) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, same)
    assert len(more) == 300
    assert (one != other).any()
    assert (one[0] != one[1]).any()
    assert (sample(f"{model}:average", 7, 1, None, CPU) != one).any()


def test_they_are_written_as_is_asked_for(model: str) -> None:
    images = sample(model, 5, 0, None, CPU)
    write(images, Path("a.png"))
    assert Image.open("a.png").size == (100, 67)  # three columns, two rows, with lines between
    write(images, Path("a.npy"))
    np.testing.assert_array_equal(np.load("a.npy", allow_pickle=False), images)
    write(images, Path("folder"))
    written = [np.asarray(Image.open(path)) for path in sorted(Path("folder").iterdir())]
    np.testing.assert_array_equal(np.stack(written), images)
    with pytest.raises(UserError, match="--out is folder, which is there already: name a new folder"):
        write(images, Path("folder"))


@pytest.mark.parametrize(
    ("count", "seed", "truncation", "said"),
    [
        (0, 0, None, "--count is 0 and --seed 0: they are numbers from 1 and from 0"),
        (1, -1, None, "--count is 1 and --seed -1"),
        (1, 0, 0.0, "--truncation is 0: it is a number from 0.01"),
        (1, 0, math.nan, "--truncation is nan"),
    ],
)
def test_what_makes_no_sense_is_told(model: str, count: int, seed: int, truncation: float | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        sample(model, count, seed, truncation, CPU)


def test_without_a_model_it_says_what_makes_one() -> None:
    with pytest.raises(UserError, match="nowhere holds no config.json, so it is no trained model"):
        sample("nowhere", 1, 0, None, CPU)
