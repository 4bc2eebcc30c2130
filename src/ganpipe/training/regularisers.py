"""Penalties on the discriminator's gradient with respect to images, as scalars to add to its loss."""

from collections.abc import Callable

import torch
from torch import Tensor


def squared_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """R1 on real images, R2 on generated ones (Mescheder et al. 2018, equations 9 and 10): 1/2 E |grad D(x)|^2.

    `images` (N, C, H, W) must be what `logits` (N,) were computed from, and require gradients.
    """
    return 0.5 * _gradients(logits, images).square().sum(1).mean()


def unit_gradient(discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Gulrajani et al. 2017, equation 3: E (|grad D(x)| - 1)^2 at x between pairs of real and generated images.

    `mix` (N,), uniform in (0, 1), says where between them.
    """
    between = torch.lerp(fake.to(real.dtype), real, mix.view(-1, 1, 1, 1)).detach().requires_grad_()
    return (_gradients(discriminate(between), between).norm(dim=1) - 1).square().mean()


def _gradients(logits: Tensor, images: Tensor) -> Tensor:
    """Of each logit by its own image: (N, C*H*W), float32, differentiable."""
    (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradients.float().flatten(1)
