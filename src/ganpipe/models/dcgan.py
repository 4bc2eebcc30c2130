"""The networks of the DCGAN paper (arXiv:1511.06434), as tables that can be laid beside its text.

Widths are multiples of one `width`, the number of filters of the discriminator's first layer: 128 in the paper's
32x32 study. No convolution and no linear map has a bias. Images are float, NCHW, in [-1, 1]; logits are (N,).
"""

from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganpipe.models.norm import BatchNorm

N = TypeVar("N", bound=nn.Module)
WEIGHT_STD = 0.02  # of every weight around 0 and of every batch-norm gain around 1 (paper, section 4)
LEAK = 0.2
POOLED = 4  # every layer's map is max-pooled to POOLED x POOLED before it becomes features (paper, section 5.1)


class Layer(NamedTuple):
    """One 3x3 convolution, padding 1. `filters` multiplies `width`; a stride of 2 halves the map, in G doubles it."""

    filters: int
    stride: int
    norm: bool = True


# The 32x32 networks of section 5.1, as in the authors' published code.
DISCRIMINATOR_32 = (
    Layer(1, stride=1, norm=False),
    Layer(1, stride=2),
    Layer(2, stride=1),
    Layer(2, stride=2),
    Layer(4, stride=1),
    Layer(4, stride=2),
)
GENERATOR_32 = (  # after a linear map from z to 4 * width maps of 4x4
    Layer(4, stride=2),
    Layer(2, stride=1),
    Layer(2, stride=2),
    Layer(1, stride=1),
    Layer(1, stride=2),
)
SIZE = 32


class Discriminator(nn.Module):
    """Images (N, 3, 32, 32) in [-1, 1] to logits (N,); positive means "real"."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        channels, side = 3, SIZE
        for layer in DISCRIMINATOR_32:
            filters = layer.filters * width
            self.convs.append(nn.Conv2d(channels, filters, 3, layer.stride, padding=1, bias=False))
            self.norms.append(BatchNorm(filters) if layer.norm else nn.Identity())
            channels, side = filters, side // layer.stride
        self.head = nn.Linear(channels * side * side, 1, bias=False)

    @property
    def feature_count(self) -> int:
        """Length of the pooled feature vector: 28,672 at the paper's width."""
        return POOLED * POOLED * self.width * sum(layer.filters for layer in DISCRIMINATOR_32)

    def activations(self, images: Tensor) -> list[Tensor]:
        """Each convolution's maps after normalisation and leaky ReLU, first layer first."""
        maps, x = [], images
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), LEAK, inplace=True)
            maps.append(x)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.activations(images)[-1].flatten(1))
        return logits.squeeze(1)

    def features(self, images: Tensor) -> Tensor:
        """All layers' maps max-pooled to 4x4, flattened, concatenated, unscaled: (N, `feature_count`)."""
        pooled = [F.adaptive_max_pool2d(maps, POOLED).flatten(1) for maps in self.activations(images)]
        return torch.cat(pooled, dim=1)


class Generator(nn.Module):
    """Noise (N, latent), uniform in (-1, 1), to images (N, 3, 32, 32) in [-1, 1]."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.width, self.latent = width, latent
        channels, self.side = 4 * width, 4
        self.project = nn.Linear(latent, channels * self.side**2, bias=False)
        self.project_norm = BatchNorm(channels)
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for layer in GENERATOR_32:
            filters = layer.filters * width
            self.convs.append(_upward(channels, filters, layer.stride))
            self.norms.append(BatchNorm(filters))
            channels = filters
        self.to_pixels = _upward(channels, 3, stride=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.project(z).view(len(z), -1, self.side, self.side)
        x = F.relu(self.project_norm(x.contiguous(memory_format=torch.channels_last)), inplace=True)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)), inplace=True)
        return torch.tanh(self.to_pixels(x))


def _upward(channels: int, filters: int, stride: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, filters, 3, stride, padding=1, output_padding=stride - 1, bias=False)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Fill every weight from N(0, 0.02), every batch-norm gain from N(1, 0.02), every batch-norm bias with 0."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.weight.normal_(1.0, WEIGHT_STD, generator=generator)
                module.bias.zero_()
            elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                module.weight.normal_(0.0, WEIGHT_STD, generator=generator)


def place(network: N, device: torch.device) -> N:
    """Move to the device, convolutions' weights channels last: the layout that both oneDNN and cuDNN are fastest in."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
