"""Objectives, as functions of logits. Positive logits mean "real"; every loss is the mean over the batch, a scalar."""

from torch import Tensor
from torch.nn.functional import softplus


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Goodfellow et al. 2014, equation 1: -log s(D(x)) - log(1 - s(D(G(z)))), s being the logistic function."""
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """The non-saturating form, Goodfellow et al. 2014, section 3: -log s(D(G(z)))."""
    return softplus(-fake).mean()
