import pytest
import torch

from ganpipe.training.losses import discriminator_loss, generator_loss

LOGITS = torch.linspace(-6, 6, 25, dtype=torch.float64)


def test_losses_are_the_papers_cross_entropies() -> None:
    real, fake = LOGITS, LOGITS.flip(0) * 0.5
    expected = -(torch.log(torch.sigmoid(real)).mean() + torch.log(1 - torch.sigmoid(fake)).mean())
    assert discriminator_loss(real, fake).item() == pytest.approx(expected.item(), rel=1e-12)
    assert generator_loss(fake).item() == pytest.approx(-torch.log(torch.sigmoid(fake)).mean().item(), rel=1e-12)


def test_gradients_have_their_closed_form() -> None:
    real, fake = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    by_real, by_fake = torch.autograd.grad(discriminator_loss(real, fake), (real, fake))
    assert torch.allclose(by_real, (torch.sigmoid(LOGITS) - 1) / len(LOGITS))
    assert torch.allclose(by_fake, torch.sigmoid(LOGITS) / len(LOGITS))
    (by_generated,) = torch.autograd.grad(generator_loss(fake), fake)
    assert torch.allclose(by_generated, (torch.sigmoid(LOGITS) - 1) / len(LOGITS))


def test_huge_logits_stay_finite() -> None:
    huge = torch.tensor([1e4, -1e4])
    assert torch.isfinite(discriminator_loss(huge, huge))
    assert torch.isfinite(generator_loss(huge))
