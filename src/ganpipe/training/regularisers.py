"""Penalties on the discriminator's gradient with respect to images, as scalars to add to its loss."""

from collections.abc import Callable

import torch
from torch import Tensor


def squared_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """R1 on real images, R2 on generated ones (Mescheder et al. 2018, equations 9 and 10): 1/2 E |grad D(x)|^2.

    `images` (N, C, H, W), or numbers (N, 1), must be what `logits` (N,) were computed from, and require gradients.
    """
    return 0.5 * _gradients(logits, images).square().sum(1).mean()


def unit_gradient(discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Gulrajani et al. 2017, equation 3: E (|grad D(x)| - 1)^2 at x between pairs of real and generated images.

    `real` and `fake` are (N, C, H, W), or numbers (N, 1); `mix` (N,), uniform in (0, 1), says where between them.
    """
    shares = mix.view(-1, *[1] * (real.ndim - 1))
    between = torch.lerp(fake.to(real.dtype), real, shares).detach().requires_grad_()
    return (_gradients(discriminate(between), between).norm(dim=1) - 1).square().mean()


def _gradients(logits: Tensor, images: Tensor) -> Tensor:
    """Of each logit by its own image or number: (N, C*H*W) or (N, 1), float32, differentiable."""
    (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradients.float().flatten(1)
