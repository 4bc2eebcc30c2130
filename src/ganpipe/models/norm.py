"""Batch normalisation as the DCGAN authors' code does it: batch statistics in training, frozen ones afterwards.

There is no running average. Statistics for inference are the means, over a whole corpus, of each minibatch's mean and
variance, taken while the layers below still use their own batch statistics; they are then frozen
(`freeze_statistics`).
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganpipe.runtime import world

EPSILON = 1e-8  # the authors' value; torch's default is 1e-5


class BatchNorm(nn.Module):
    """Normalise each channel of (N, C, H, W). Gain and bias are learned; `mean` and `variance` serve in eval mode."""

    def __init__(self, channels: int, epsilon: float = EPSILON) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.collected: int | None = None  # minibatches averaged so far, while `freeze_statistics` runs

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, training=False, eps=self.epsilon)
        if world()[1] > 1:
            return self._over_all_processes(x)
        if self.collected is not None:
            return self._collecting(x)
        if x.numel() == x.shape[1]:
            return self._of_one_value(x)
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.epsilon)

    def _over_all_processes(self, x: Tensor) -> Tensor:
        """The same by the statistics of the whole batch, of which each process holds an equal part."""
        from torch.distributed.nn import functional as across  # differentiable

        size = world()[1]
        wide = x.float()
        mean = across.all_reduce(wide.mean((0, 2, 3))) / size  # type: ignore[no-untyped-call]
        centred = wide - mean[:, None, None]
        variance = across.all_reduce(centred.square().mean((0, 2, 3))) / size  # type: ignore[no-untyped-call]
        if self.collected is not None:
            self.collected += 1
            self.mean.lerp_(mean, 1 / self.collected)
            self.variance.lerp_(variance, 1 / self.collected)
        scale = self.weight * (variance + self.epsilon).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def _collecting(self, x: Tensor) -> Tensor:
        # A momentum of 1/k makes torch's running average the plain average of k minibatches. It keeps the unbiased
        # variance of each; the network normalises by the biased one, and so do the authors' frozen statistics.
        self.collected = (self.collected or 0) + 1
        if x.numel() == x.shape[1]:
            self.mean.lerp_(x.detach().float().flatten(), 1 / self.collected)
            self.variance.lerp_(torch.zeros_like(self.variance), 1 / self.collected)
            return self._of_one_value(x)
        mean, unbiased = torch.zeros_like(self.mean), torch.ones_like(self.variance)
        out = F.batch_norm(x, mean, unbiased, self.weight, self.bias, training=True, momentum=1.0, eps=self.epsilon)
        count = x.numel() // x.shape[1]
        self.mean.lerp_(mean, 1 / self.collected)
        self.variance.lerp_(unbiased * ((count - 1) / count), 1 / self.collected)
        return out

    def _of_one_value(self, x: Tensor) -> Tensor:
        """A channel's only value is its own mean: nothing but the bias remains. torch refuses to say so."""
        return x * 0 + self.bias[:, None, None]


@torch.no_grad()
def freeze_statistics(network: nn.Module, batches: Iterable[Tensor | tuple[Tensor, ...]]) -> None:
    """Average each layer's minibatch mean and (biased) variance over `batches` into its buffers; leave in eval mode.

    A batch is what the network takes, a tuple where that is several tensors.

    Raises ValueError when `batches` is empty.
    """
    layers = [module for module in network.modules() if isinstance(module, BatchNorm)]
    network.train()
    for layer in layers:
        layer.collected = 0
    count = 0
    try:
        for count, batch in enumerate(batches, start=1):  # noqa: B007 (the count is read below)
            network(*(batch if isinstance(batch, tuple) else (batch,)))
    finally:
        for layer in layers:
            layer.collected = None
    if count == 0:
        raise ValueError("statistics need at least one batch")
    network.eval()
