"""Fully connected networks, for small images and for single numbers.

Samples are float: images NCHW in [-1, 1], numbers (N, 1) on any scale; logits are (N,). Widths are the number of units
of a hidden layer. Every linear map has a bias; nothing is normalised.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Perceptron(NamedTuple):
    """Both networks for samples of `shape`: `hidden` layers of one width, then a linear map."""

    shape: tuple[int, ...]
    hidden: int
    leak: float | None  # of the leaky ReLU behind each hidden layer; None: ELU
    dropout: float  # behind each hidden layer of the generator, in training
    bounded: bool  # whether the generator ends in tanh

    @property
    def size(self) -> int:
        """Pixels of an image's side."""
        return self.shape[-1]

    @property
    def channels(self) -> int:
        """Of an image."""
        return self.shape[0]


PERCEPTRONS = {
    # Handwritten digits in grey: z -> 128 -> 784, and 784 -> 128 -> 1.
    "mlp28": Perceptron(shape=(1, 28, 28), hidden=1, leak=0.01, dropout=0.2, bounded=True),
    # Single numbers: three linear maps with two hidden layers between them.
    "mlp1": Perceptron(shape=(1,), hidden=2, leak=None, dropout=0.0, bounded=False),
}


class PerceptronDiscriminator(nn.Module):
    """Samples (N, *shape) to logits (N,); positive means "real"."""

    def __init__(self, width: int, architecture: str) -> None:
        super().__init__()
        self.width, self.table = width, PERCEPTRONS[architecture]
        self.config: dict[str, Any] = {"width": width, "architecture": architecture}
        self.hidden = _hidden(math.prod(self.table.shape), width, self.table.hidden)
        self.head = nn.Linear(width, 1)

    def activations(self, samples: Tensor) -> list[Tensor]:
        """Each hidden layer's units (N, width) after their nonlinearity, first layer first."""
        found, x = [], samples.flatten(1)
        for layer in self.hidden:
            x = _bend(self.table, layer(x))
            found.append(x)
        return found

    def forward(self, samples: Tensor) -> Tensor:
        logits: Tensor = self.head(self.activations(samples)[-1])
        return logits.squeeze(1)


class PerceptronGenerator(nn.Module):
    """Noise (N, latent) to samples (N, *shape)."""

    def __init__(self, width: int, latent: int, architecture: str) -> None:
        super().__init__()
        self.width, self.latent, self.table = width, latent, PERCEPTRONS[architecture]
        self.config: dict[str, Any] = {"width": width, "latent": latent, "architecture": architecture}
        self.hidden = _hidden(latent, width, self.table.hidden)
        self.head = nn.Linear(width, math.prod(self.table.shape))

    def forward(self, z: Tensor) -> Tensor:
        x = z
        for layer in self.hidden:
            x = F.dropout(_bend(self.table, layer(x)), self.table.dropout, self.training)
        x = self.head(x).unflatten(1, self.table.shape)
        return torch.tanh(x) if self.table.bounded else x


def _hidden(given: int, width: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(width if number else given, width) for number in range(count))


def _bend(table: Perceptron, x: Tensor) -> Tensor:
    return F.elu(x) if table.leak is None else F.leaky_relu(x, table.leak)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Fill weights as Glorot and Bengio 2010 do, equation 16, biases with 0."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                module.bias.zero_()
