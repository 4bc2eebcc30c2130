"""Objectives, as functions of logits. Positive logits mean "real"; every loss is the mean over the batch, a scalar.

`real` and `fake` are the discriminator's logits (N,) of real and of generated images; s is the logistic function.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import softplus


class Objective(NamedTuple):
    """Both players' losses, each a function of (real, fake). Where `paired`, the generator's looks at real too.

    A logit above `boundary` says "real"; where it is None, only which of two logits is the higher says anything.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    paired: bool = False
    boundary: float | None = 0.0

    def told_right(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of real and of generated images that the logits tell right."""
        if self.boundary is None:
            higher = (real > fake).float().mean()
            return higher, higher
        return (real > self.boundary).float().mean(), (fake < self.boundary).float().mean()


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """Goodfellow et al. 2014, equation 1: -log s(D(x)) - log(1 - s(D(G(z))))."""
    return softplus(-real).mean() + softplus(fake).mean()


def non_saturating(real: Tensor, fake: Tensor) -> Tensor:
    """Goodfellow et al. 2014, section 3, what G minimises instead of equation 1: -log s(D(G(z)))."""
    return softplus(-fake).mean()


def saturating(real: Tensor, fake: Tensor) -> Tensor:
    """Goodfellow et al. 2014, equation 1, as G minimises it: log(1 - s(D(G(z))))."""
    return -softplus(fake).mean()


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Lim and Ye 2017, as in Miyato et al. 2018, equation 16: max(0, 1 - D(x)) + max(0, 1 + D(G(z)))."""
    return (1 - real).relu().mean() + (1 + fake).relu().mean()


def least_squares(real: Tensor, fake: Tensor) -> Tensor:
    """Mao et al. 2017, equation 9 (a = 0, b = c = 1): 1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2."""
    return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()


def least_squares_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Mao et al. 2017, equation 9: 1/2 (D(G(z)) - 1)^2."""
    return 0.5 * (fake - 1).square().mean()


def wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """Arjovsky et al. 2017, equation 2, negated: D(G(z)) - D(x). It needs a gradient penalty or spectral norm."""
    return fake.mean() - real.mean()


def critic(real: Tensor, fake: Tensor) -> Tensor:
    """What G minimises against a critic, with the hinge and the Wasserstein loss: -D(G(z))."""
    return -fake.mean()


def relativistic(real: Tensor, fake: Tensor) -> Tensor:
    """Jolicoeur-Martineau 2018, paired, as in R3GAN (Huang et al. 2024, equation 2): -log s(D(x) - D(G(z)))."""
    return softplus(fake - real).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """The same with the roles exchanged: -log s(D(G(z)) - D(x))."""
    return softplus(real - fake).mean()


OBJECTIVES = {
    "non_saturating": Objective(cross_entropy, non_saturating),
    "saturating": Objective(cross_entropy, saturating),
    "hinge": Objective(hinge, critic),
    "least_squares": Objective(least_squares, least_squares_generator, boundary=0.5),
    "wasserstein": Objective(wasserstein, critic, boundary=None),
    "relativistic": Objective(relativistic, relativistic_generator, paired=True, boundary=None),
}


def smoothed_targets(smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    """One-sided label smoothing (Salimans et al. 2016, section 3.4): real images' target is 1 - `smoothing`."""

    def loss(real: Tensor, fake: Tensor) -> Tensor:
        towards_one, towards_zero = softplus(-real).mean(), softplus(real).mean()
        return (1 - smoothing) * towards_one + smoothing * towards_zero + softplus(fake).mean()

    return loss


def scaled_loss(smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    """What is found in its place in tutorials: real images' target stays 1, and their loss is scaled."""

    def loss(real: Tensor, fake: Tensor) -> Tensor:
        return (1 - smoothing) * softplus(-real).mean() + softplus(fake).mean()

    return loss
