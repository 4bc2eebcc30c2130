from pathlib import Path

import numpy as np
import pytest
import torch

from ganpipe.demo.latent import DIRECTIONS, SPREAD, Point, Term, array, directions, one, place
from ganpipe.demo.models import Model, named
from ganpipe.models.dcgan import Generator
from ganpipe.models.store import load_generator
from support import tiny


@pytest.fixture
def model() -> Model:
    tiny.generator(Path("gan"))
    return named(["gan"])[0]


def test_a_point_is_the_sum_of_its_terms_means(model: Model) -> None:
    along = directions(model)
    point = Point(terms=[Term(seeds=[1, 2, 3]), Term(weight=-1, seeds=[4]), Term(weight=0.5, seeds=[5, 6])])
    mean = [torch.stack([one(seed, model) for seed in seeds]).mean(0) for seeds in ([1, 2, 3], [4], [5, 6])]
    torch.testing.assert_close(place(point, model, along), mean[0] - mean[1] + 0.5 * mean[2])


def test_sliders_move_a_point_along_the_directions(model: Model) -> None:
    along = directions(model)
    before, after = array(
        [Point(terms=[Term(seeds=[7])]), Point(terms=[Term(seeds=[7])], sliders=[0, 2])], model, along
    )
    np.testing.assert_allclose(after - before, 2 * SPREAD["uniform"] * along[1], atol=1e-6)


def test_a_sample_is_its_seed_and_no_other(model: Model) -> None:
    torch.testing.assert_close(one(3, model), one(3, model))
    assert not torch.equal(one(3, model), one(4, model))
    assert one(3, model).abs().max() < 1


def test_directions_are_perpendicular_units_that_move_the_first_layer_most_first(model: Model) -> None:
    along = directions(model)
    assert along.shape == (DIRECTIONS, model.latent)
    torch.testing.assert_close(along @ along.T, torch.eye(DIRECTIONS), atol=1e-5, rtol=0)
    generator = load_generator(model.folder, torch.device("cpu"))
    assert isinstance(generator, Generator)

    def maps(z: torch.Tensor) -> torch.Tensor:
        """Of the first layer, before its ReLU."""
        x = generator.project(z).view(len(z), generator.side, generator.side, -1).permute(0, 3, 1, 2)
        return generator.project_norm(x).flatten(1)

    with torch.no_grad():
        moved = (maps(along) - maps(torch.zeros(1, model.latent))).norm(dim=1)
        others = torch.nn.functional.normalize(torch.randn(200, model.latent), dim=1)
        by_chance = (maps(others) - maps(torch.zeros(1, model.latent))).norm(dim=1)
    assert (moved.diff() <= 1e-5).all()
    assert moved[0] >= by_chance.max()


def test_a_fully_connected_generator_has_directions_too() -> None:
    tiny.perceptron(Path("gan"), "mlp28")
    assert directions(named(["gan"])[0]).shape == (3, 3)
