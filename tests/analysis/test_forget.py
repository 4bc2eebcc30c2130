import numpy as np
import pytest
import torch
from analysis.drawing import BLOCK, PATCH, PATCH_MAP, PLACE, SIZE, patchy

from ganpipe.analysis.boxes import Box
from ganpipe.analysis.forget import change, covered, feature_maps, forget, generate, learn
from ganpipe.analysis.found import Analysis
from ganpipe.errors import UserError
from ganpipe.models.dcgan import ARCHITECTURES, Generator, initialise
from ganpipe.models.draws import drawn, noise
from ganpipe.models.mlp import PerceptronGenerator
from ganpipe.models.pixels import from_network

CPU = torch.device("cpu")
SEEN = 0.3  # of z's first number, from where on the patch is to be seen


def boxes_of(z: torch.Tensor) -> list[Box]:
    low, high = PLACE * BLOCK, (PLACE + 1) * BLOCK
    return [Box(number, low, low, high, high) for number in torch.nonzero(z[:, 0] > SEEN).flatten().tolist()]


@pytest.mark.parametrize("architecture", ["dcgan64", "dcgan32", "svhn32"])
def test_with_nothing_dropped_it_draws_what_the_generator_draws(architecture: str) -> None:
    network = Generator(2, 5, architecture).eval()
    initialise(network, torch.Generator().manual_seed(0))
    for parameter in network.parameters():
        parameter.data.mul_(8)
    z = noise(3, 5, "uniform", 0)
    count = 2 * ARCHITECTURES[architecture].generator[-2].filters
    with torch.no_grad():
        expected = network(z)
    torch.testing.assert_close(generate(network, z, torch.zeros(count, dtype=torch.bool)), expected)
    assert expected.std(0).max() > 0.1
    # Without any map nothing of z is left.
    without = generate(network, z, torch.ones(count, dtype=torch.bool))
    torch.testing.assert_close(without, without[:1].expand_as(without))
    assert feature_maps(network, z).shape[1] == count


def test_exactly_the_map_that_draws_a_thing_is_found_and_the_thing_vanishes() -> None:
    network, z = patchy(), noise(40, 2, "uniform", 1)
    boxes = boxes_of(z)
    found = learn(feature_maps(network, z).numpy(), covered(boxes, len(z), 16, SIZE), 0)
    assert np.flatnonzero(found.dropped).tolist() == [PATCH_MAP]
    assert found.accuracy > 0.95
    before, after = drawn(network, z, CPU), from_network(generate(network, z, torch.from_numpy(found.dropped)))
    shown = [box.sample for box in boxes]
    assert before[shown][:, *PATCH, 0].min() > 150
    assert set(np.unique(after[:, *PATCH])) == {128}  # 0 is nearest to level 128
    after[:, *PATCH] = before[:, *PATCH]
    np.testing.assert_array_equal(after, before)  # and nothing else


def test_the_part_tells_how_much_of_the_pictures_has_changed_and_where() -> None:
    z = noise(40, 2, "uniform", 1)
    boxes = boxes_of(z)
    found, again = Analysis(), Analysis()
    forget(found, patchy(), z, boxes, 4, CPU, find=lambda images: boxes_of(z) * int(images[:, *PATCH, 0].max() > 150))
    figures = {name: float(value) for name, value in found.metrics.items()}
    assert (figures["forget_boxes"], figures["forget_images"]) == (len(boxes), len(boxes))
    assert (figures["forget_maps"], figures["forget_dropped"]) == (4, 1)
    assert figures["forget_change_inside"] > 10
    assert figures["forget_change_outside"] == 0
    assert figures["forget_change_random_inside"] == 0  # this seed drops another map
    assert (figures["forget_found"], figures["forget_found_random"]) == (0, len(boxes))
    assert list(found.pictures) == ["forget"]
    forget(again, patchy(), z, boxes, 4, CPU)
    np.testing.assert_array_equal(found.pictures["forget"], again.pictures["forget"])
    assert "forget_found" not in again.metrics


def test_a_box_covers_the_places_whose_centres_it_holds() -> None:
    mask = covered([Box(0, 2, 0, 6, 4), Box(1, 5, 5, 6, 6), Box(1, 0, 0, 64, 64), Box(2, 60, 63, 64, 64)], 3, 16, SIZE)
    assert np.argwhere(mask[0]).tolist() == [[0, 0]]  # its centre at 2 is inside, the next at 6 is not
    assert mask[1].all()
    assert np.argwhere(mask[2]).tolist() == [[15, 15]]  # too flat for a centre: where its own one is
    whole = covered([Box(0, 3, 5, 9, 64)], 1, SIZE, SIZE)[0]
    assert whole[5:, 3:9].all() and whole.sum() == 59 * 6


def test_chance_is_told_as_chance_by_so_many_maps_that_they_could_learn_all_by_heart() -> None:
    maps = np.random.default_rng(0).normal(size=(40, 200, 8, 8)).astype(np.float32)
    inside = np.zeros((40, 8, 8), bool)
    inside[:, 2:4, 2:4] = True
    assert 0.35 < learn(maps, inside, 0).accuracy < 0.65


def test_maps_that_are_everywhere_the_same_are_kept() -> None:
    levels = np.linspace(0.1, 5, 20, dtype=np.float32)[None, :, None, None]
    maps, inside = np.tile(levels, (30, 1, 8, 8)), np.zeros((30, 8, 8), bool)
    inside[:, 2:4, 2:4] = True
    source = np.random.default_rng(0)
    maps[:, 7] = 0.3 * inside + source.normal(0, 1, inside.shape)
    maps[:, 3] = ~inside + source.normal(0, 0.3, inside.shape)  # for which the intercept is above zero
    assert np.flatnonzero(learn(maps, inside, 0).dropped).tolist() == [7]


def test_change_is_the_mean_difference_of_levels_on_either_side() -> None:
    one, other, mask = np.zeros((3, 4, 4, 3), np.uint8), np.zeros((3, 4, 4, 3), np.uint8), np.zeros((3, 4, 4), bool)
    mask[0, :2], mask[1] = True, True  # the second has no outside, the third no inside
    other[0, 0], other[0, 3, 3] = 10, 200
    within, without = change(one, other, mask)
    assert (within.tolist(), without.tolist()) == ([5.0], [25.0])


@pytest.mark.parametrize(
    ("network", "boxes", "said"),
    [
        (PerceptronGenerator(4, 2, "mlp28"), [Box(0, 0, 0, 9, 9)], "no two convolutions with feature maps"),
        (Generator(1, 2, "dcgan28").eval(), [Box(0, 0, 0, 9, 9)], "no two convolutions with feature maps"),
        (patchy(), [], "there are no boxes in the samples"),
        (patchy(), [Box(0, 0, 0, 9, 9), Box(0, 20, 20, 30, 30)], "fewer than two images with places inside and outs"),
        (patchy(), [Box(0, 0, 0, 64, 64), Box(1, 0, 0, 9, 9)], "fewer than two images"),
    ],
)
def test_what_cannot_be_forgotten_is_told(
    network: Generator | PerceptronGenerator, boxes: list[Box], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        forget(Analysis(), network, noise(4, 2, "uniform", 0), boxes, 0, CPU)
