import pytest
import torch

from ganpipe.evaluation.likeness import l1, ssim


def test_l1_is_a_share_of_the_range() -> None:
    black, white = torch.full((2, 3, 16, 16), -1.0), torch.full((2, 3, 16, 16), 1.0)
    assert l1(black, white).tolist() == [1.0, 1.0]
    assert l1(white, white).tolist() == [0.0, 0.0]


def test_equal_images_are_alike_and_order_does_not_matter() -> None:
    one, other = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(ssim(one, one), torch.ones(2))
    torch.testing.assert_close(ssim(one, other), ssim(other, one))
    assert ssim(one, other).max() < 0.5
    assert ssim(one, -one).max() < 0


def test_it_is_the_formula_in_one_window() -> None:
    """An image of the window's size has a single place; the weights are a Gaussian's."""
    torch.manual_seed(0)
    x, y = torch.rand(1, 1, 11, 11), torch.rand(1, 1, 11, 11)
    place = torch.arange(11.0) - 5
    line = torch.exp(-(place**2) / (2 * 1.5**2))
    weights = line[:, None] * line[None]
    weights = (weights / weights.sum())[None, None]

    def mean(values: torch.Tensor) -> torch.Tensor:
        return (weights * values).sum()

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean((x - mx) ** 2), mean((y - my) ** 2), mean((x - mx) * (y - my))
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert float(ssim(x * 2 - 1, y * 2 - 1)) == pytest.approx(float(expected), abs=1e-5)
