import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganpipe.training.augment import DRAWS, augment, colour, cutout, rotated, translate

SHARE = st.floats(0, 1, exclude_max=True)


def images(count: int = 4, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def draws(columns: int, *values: float, count: int = 4) -> Tensor:
    return torch.tensor(values).expand(count, columns)


def test_the_middle_draws_change_nothing() -> None:
    torch.testing.assert_close(colour(images(), draws(3, 0.5, 0.5, 0.5)), images())
    assert torch.equal(translate(images(), draws(2, 0.5, 0.5)), images())


def test_colour_is_brightness_saturation_contrast() -> None:
    x = images()
    torch.testing.assert_close(colour(x, draws(3, 1.0, 0.5, 0.5)), x + 0.5)
    grey = colour(x, draws(3, 0.5, 0.0, 0.5))
    torch.testing.assert_close(grey, x.mean(1, keepdim=True).expand_as(x))
    level = x.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(colour(x, draws(3, 0.5, 0.5, 0.0)), level + 0.5 * (x - level))


@given(SHARE, SHARE)
def test_translation_moves_and_fills_with_grey(down: float, right: float) -> None:
    x, side = images(1), 16
    moved = translate(x, draws(2, down, right, count=1))[0].numpy()
    rows, columns = int(down * 5) - 2, int(right * 5) - 2  # -2 to 2 of 16 pixels: an eighth
    expected = np.zeros((3, side, side), np.float32)
    for row in range(side):
        for column in range(side):
            if 0 <= row + rows < side and 0 <= column + columns < side:
                expected[:, row, column] = x[0, :, row + rows, column + columns]
    assert np.array_equal(moved, expected)


@given(SHARE, SHARE)
def test_cutout_blanks_one_square(down: float, right: float) -> None:
    blank = (cutout(torch.ones(1, 3, 16, 16), draws(2, down, right, count=1)) == 0)[0]
    assert torch.equal(blank[0], blank[1]) and torch.equal(blank[0], blank[2])
    rows, columns = blank[0].any(1).nonzero().flatten(), blank[0].any(0).nonzero().flatten()
    assert blank[0].sum() == len(rows) * len(columns)
    assert 0 < len(rows) <= 8 or int(down * 17) == 16
    assert len(columns) <= 8


def test_each_image_is_distorted_by_its_own_draws_and_by_nothing_else() -> None:
    numbers = torch.rand(4, DRAWS, generator=torch.Generator().manual_seed(1))
    together = augment(images(), numbers)
    for place in range(4):
        torch.testing.assert_close(augment(images()[place : place + 1], numbers[place : place + 1])[0], together[place])
    assert torch.equal(augment(images(), numbers), together)


def test_gradients_pass_to_all_that_is_still_seen() -> None:
    x = images().requires_grad_()
    y = translate(x, draws(2, 0.5, 0.5))
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and torch.equal(x.grad, torch.ones_like(x))


@pytest.mark.parametrize("turn", range(4))
def test_rotation_is_by_quarters(turn: int) -> None:
    found = rotated(images(), torch.full((4,), turn))
    assert np.array_equal(found.numpy(), np.rot90(images().numpy(), turn, (2, 3)))


def test_each_distortion_has_draws_of_its_own_in_the_papers_order() -> None:
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    draws = torch.rand(4, DRAWS, generator=torch.Generator().manual_seed(1))
    coloured = colour(images, draws[:, :3])
    assert torch.equal(augment(images, draws), cutout(translate(coloured, draws[:, 3:5]), draws[:, 5:7]))


@pytest.mark.parametrize(("draw", "first", "last"), [(0.0, 0, 3), (0.5, 4, 11), (0.999, 12, 15)])
def test_a_cutout_is_half_the_side_and_reaches_both_edges(draw: float, first: int, last: int) -> None:
    hidden = (cutout(torch.ones(1, 3, 16, 16), torch.full((1, 2), draw)) == 0)[0, 0]
    rows = hidden.any(1).nonzero().flatten()
    assert (int(rows[0]), int(rows[-1])) == (first, last)
    assert hidden.sum() == (last - first + 1) ** 2


def test_generated_images_in_bf16_are_distorted_like_real_ones_in_fp32() -> None:
    images = torch.rand(50, 3, 16, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    draws = torch.rand(50, DRAWS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(augment(images, draws), augment(images.float(), draws))
