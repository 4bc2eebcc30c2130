import pytest
import torch
from torch import Tensor

from ganpipe.training.losses import OBJECTIVES, scaled_loss, smoothed_targets

REAL = torch.linspace(-6, 6, 25, dtype=torch.float64)
FAKE = REAL.flip(0) * 0.5 + 0.1
ONE = torch.ones_like(REAL)


def s(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


# Of each objective, written out: D's loss, its derivatives by each real and each fake logit, G's loss and derivative.
EXPECTED = {
    "non_saturating": (
        -(s(REAL).log() + (1 - s(FAKE)).log()).mean(),
        s(REAL) - 1,
        s(FAKE),
        -s(FAKE).log().mean(),
        s(FAKE) - 1,
    ),
    "saturating": (
        -(s(REAL).log() + (1 - s(FAKE)).log()).mean(),
        s(REAL) - 1,
        s(FAKE),
        (1 - s(FAKE)).log().mean(),
        -s(FAKE),
    ),
    "hinge": (
        ((1 - REAL).clamp(min=0) + (1 + FAKE).clamp(min=0)).mean(),
        -(REAL < 1).double(),
        (FAKE > -1).double(),
        -FAKE.mean(),
        -ONE,
    ),
    "least_squares": (
        0.5 * ((REAL - 1) ** 2 + FAKE**2).mean(),
        REAL - 1,
        FAKE,
        0.5 * ((FAKE - 1) ** 2).mean(),
        FAKE - 1,
    ),
    "wasserstein": (FAKE.mean() - REAL.mean(), -ONE, ONE, -FAKE.mean(), -ONE),
    "relativistic": (
        -s(REAL - FAKE).log().mean(),
        s(REAL - FAKE) - 1,
        1 - s(REAL - FAKE),
        -s(FAKE - REAL).log().mean(),
        s(FAKE - REAL) - 1,
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_and_gradients_have_their_closed_forms(name: str) -> None:
    objective, (loss_d, by_real, by_fake, loss_g, by_generated) = OBJECTIVES[name], EXPECTED[name]
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    loss = objective.discriminator(real, fake)
    torch.testing.assert_close(loss.detach(), loss_d)
    for found, expected in zip(torch.autograd.grad(loss, (real, fake)), (by_real, by_fake), strict=True):
        torch.testing.assert_close(found, expected / len(REAL))
    loss = objective.generator(real.detach(), fake)
    torch.testing.assert_close(loss.detach(), loss_g)
    torch.testing.assert_close(torch.autograd.grad(loss, fake)[0], by_generated / len(REAL))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_only_the_paired_generator_looks_at_real_images(name: str) -> None:
    losses = {float(OBJECTIVES[name].generator(real, FAKE)) for real in (REAL, REAL + 1)}
    assert (len(losses) == 2) == OBJECTIVES[name].paired


@pytest.mark.parametrize("name", OBJECTIVES)
def test_huge_logits_stay_finite(name: str) -> None:
    huge = torch.tensor([1e4, -1e4])
    assert torch.isfinite(OBJECTIVES[name].discriminator(huge, huge.flip(0)))
    assert torch.isfinite(OBJECTIVES[name].generator(huge, huge.flip(0)))


def test_smoothing_the_target_is_cross_entropy_with_it() -> None:
    target = torch.full_like(REAL, 0.9)
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = cross_entropy(REAL, target) + cross_entropy(FAKE, torch.zeros_like(FAKE))
    torch.testing.assert_close(smoothed_targets(0.1)(REAL, FAKE), expected)


def test_scaling_the_loss_is_something_else() -> None:
    expected = 0.9 * -s(REAL).log().mean() - (1 - s(FAKE)).log().mean()
    torch.testing.assert_close(scaled_loss(0.1)(REAL, FAKE), expected)
    assert not torch.isclose(scaled_loss(0.1)(REAL, FAKE), smoothed_targets(0.1)(REAL, FAKE))


@pytest.mark.parametrize("make", [smoothed_targets, scaled_loss])
def test_no_smoothing_is_the_plain_loss(make: object) -> None:
    torch.testing.assert_close(make(0.0)(REAL, FAKE), EXPECTED["non_saturating"][0])  # type: ignore[operator]


RIGHT = {name: (1.2, -0.2) if name == "least_squares" else (2.0, -3.0) for name in OBJECTIVES}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_is_told_right_is_what_lies_on_its_own_side(name: str) -> None:
    """At logits where the discriminator's loss is low, for each objective's own targets."""
    real, fake = (torch.full((4,), value) + torch.arange(4) * 0.01 for value in RIGHT[name])
    told = OBJECTIVES[name].told_right
    assert [float(share) for share in told(real, fake)] == [1.0, 1.0]
    assert [float(share) for share in told(fake, real)] == [0.0, 0.0]


def test_least_squares_tells_real_from_half_way_between_its_targets() -> None:
    real, fake = torch.tensor([0.4, 0.6, 1.0, 1.4]), torch.tensor([-0.2, 0.0, 0.3, 0.6])
    assert [float(share) for share in OBJECTIVES["least_squares"].told_right(real, fake)] == [0.75, 0.75]


@pytest.mark.parametrize("name", ["wasserstein", "relativistic"])
def test_without_a_boundary_real_is_told_by_which_logit_is_higher(name: str) -> None:
    real, fake = torch.tensor([5.0, 6.0, 7.0, 8.0]), torch.tensor([4.0, 5.0, 6.0, 9.0])
    assert [float(share) for share in OBJECTIVES[name].told_right(real, fake)] == [0.75, 0.75]
