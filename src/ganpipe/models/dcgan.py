"""The networks of the DCGAN paper (arXiv:1511.06434), as tables that can be laid beside its text.

Widths are multiples of one `width`, the number of filters of the discriminator's first layer: 128 in the paper's
32x32 study. Images are float, NCHW, in [-1, 1]; logits are (N,). With batch normalisation, the paper's, no convolution
and no linear map has a bias; without it a discriminator's convolutions do, for nothing else could shift their maps.
"""

from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from ganpipe.models.norm import BatchNorm

N = TypeVar("N", bound=nn.Module)
Normalisation = Literal["batch", "spectral", "none"]
WEIGHT_STD = 0.02  # of every weight around 0 and of every batch-norm gain around 1 (paper, section 4)
LEAK = 0.2
POOLED = 4  # every layer's map is max-pooled to POOLED x POOLED before it becomes features (paper, section 5.1)
POWER_ITERATIONS = 15  # before the first step, as torch does; one more at each forward pass in training
ROTATIONS = 4  # quarter turns that the optional second head tells apart


class Layer(NamedTuple):
    """One convolution. `filters` multiplies `width`; a stride of 2 halves the map, in G doubles it."""

    filters: int
    stride: int
    norm: bool = True


class Architecture(NamedTuple):
    """Both networks for images of `size` pixels, all convolutions `kernel` x `kernel` and padded to keep their map."""

    size: int
    kernel: int
    discriminator: tuple[Layer, ...]  # then a linear map of the last maps to one logit
    first: int  # times the generator's width: the filters that a linear map makes of z
    generator: tuple[Layer, ...]  # from there
    to_pixels: int  # stride of the convolution that ends in 3 channels and tanh


ARCHITECTURES = {
    # Section 5.1, the representation study, as in the authors' published code.
    "dcgan32": Architecture(
        size=32,
        kernel=3,
        discriminator=(
            Layer(1, stride=1, norm=False),
            Layer(1, stride=2),
            Layer(2, stride=1),
            Layer(2, stride=2),
            Layer(4, stride=1),
            Layer(4, stride=2),
        ),
        first=4,
        generator=(
            Layer(4, stride=2),
            Layer(2, stride=1),
            Layer(2, stride=2),
            Layer(1, stride=1),
            Layer(1, stride=2),
        ),
        to_pixels=1,
    ),
    # Figure 1: 1024-512-256-128-3 at width 128. Bedrooms, faces, roses.
    "dcgan64": Architecture(
        size=64,
        kernel=5,
        discriminator=(
            Layer(1, stride=2, norm=False),
            Layer(2, stride=2),
            Layer(4, stride=2),
            Layer(8, stride=2),
        ),
        first=8,
        generator=(
            Layer(4, stride=2),
            Layer(2, stride=2),
            Layer(1, stride=2),
        ),
        to_pixels=2,
    ),
    # Section 5.2, the study on SVHN: 64-128-256 at width 64.
    "svhn32": Architecture(
        size=32,
        kernel=5,
        discriminator=(
            Layer(1, stride=2, norm=False),
            Layer(2, stride=2),
            Layer(4, stride=2),
        ),
        first=4,
        generator=(
            Layer(2, stride=2),
            Layer(1, stride=2),
        ),
        to_pixels=2,
    ),
    # Handwritten digits, from maps of 7x7.
    "dcgan28": Architecture(
        size=28,
        kernel=5,
        discriminator=(
            Layer(1, stride=2, norm=False),
            Layer(2, stride=2),
        ),
        first=2,
        generator=(Layer(1, stride=2),),
        to_pixels=2,
    ),
}


class Discriminator(nn.Module):
    """Images (N, 3, size, size) in [-1, 1] to logits (N,); positive means "real".

    `rotation` adds a second linear map of the last maps, to one logit a quarter turn (Chen et al. 2019). `layers` keeps
    only so many of the table's first convolutions.
    """

    def __init__(
        self,
        width: int,
        architecture: str = "dcgan32",
        normalisation: Normalisation = "batch",
        rotation: bool = False,
        layers: int | None = None,
    ) -> None:
        super().__init__()
        self.width, self.table, self.rotation = width, ARCHITECTURES[architecture], rotation
        self.config: dict[str, Any] = {
            "width": width,
            "architecture": architecture,
            "normalisation": normalisation,
            "rotation": rotation,
        }
        if layers is not None:
            self.config["layers"] = layers
        self.layers = self.table.discriminator[:layers]
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        channels, side, kernel = 3, self.table.size, self.table.kernel
        for layer in self.layers:
            filters, batch = layer.filters * width, normalisation == "batch"
            self.convs.append(nn.Conv2d(channels, filters, kernel, layer.stride, kernel // 2, bias=not batch))
            self.norms.append(BatchNorm(filters) if layer.norm and batch else nn.Identity())
            channels, side = filters, side // layer.stride
        self.head = nn.Linear(channels * side * side, 1, bias=False)
        if rotation:
            self.rotation_head = nn.Linear(channels * side * side, ROTATIONS, bias=False)
        if normalisation == "spectral":
            for module in list(self.modules()):
                if isinstance(module, nn.Conv2d | nn.Linear):
                    parametrizations.spectral_norm(module)

    @property
    def feature_count(self) -> int:
        """Length of the pooled feature vector: 28,672 at the paper's width."""
        return POOLED * POOLED * self.width * sum(layer.filters for layer in self.layers)

    def activations(self, images: Tensor) -> list[Tensor]:
        """Each convolution's maps after normalisation and leaky ReLU, first layer first."""
        maps, x = [], images
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), LEAK, inplace=True)
            maps.append(x)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(_by_place(self.activations(images)[-1]))
        return logits.squeeze(1)

    def rotations(self, images: Tensor) -> Tensor:
        """Logits (N, 4) of by how many quarter turns each image was rotated."""
        logits: Tensor = self.rotation_head(_by_place(self.activations(images)[-1]))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """All layers' maps max-pooled to 4x4, flattened, concatenated, unscaled: (N, `feature_count`)."""
        pooled = [F.adaptive_max_pool2d(maps, POOLED).flatten(1) for maps in self.activations(images)]
        return torch.cat(pooled, dim=1)


class Generator(nn.Module):
    """Noise (N, latent) to images (N, 3, size, size) in [-1, 1]."""

    def __init__(self, width: int, latent: int, architecture: str = "dcgan32") -> None:
        super().__init__()
        self.width, self.latent, self.table = width, latent, ARCHITECTURES[architecture]
        self.config: dict[str, Any] = {"width": width, "latent": latent, "architecture": architecture}
        strides = [*(layer.stride for layer in self.table.generator), self.table.to_pixels]
        channels, self.side = self.table.first * width, self.table.size
        for stride in strides:
            self.side //= stride
        self.project = nn.Linear(latent, channels * self.side**2, bias=False)
        self.project_norm = BatchNorm(channels)
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for layer in self.table.generator:
            filters = layer.filters * width
            self.convs.append(self._upward(channels, filters, layer.stride))
            self.norms.append(BatchNorm(filters))
            channels = filters
        self.to_pixels = self._upward(channels, 3, self.table.to_pixels)

    def _upward(self, channels: int, filters: int, stride: int) -> nn.ConvTranspose2d:
        kernel = self.table.kernel
        return nn.ConvTranspose2d(channels, filters, kernel, stride, kernel // 2, output_padding=stride - 1, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        x = self.project(z).view(z.shape[0], self.side, self.side, -1).permute(0, 3, 1, 2)  # channels last
        x = F.relu(self.project_norm(x), inplace=True)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)), inplace=True)
        return torch.tanh(self.to_pixels(x))


def _by_place(maps: Tensor) -> Tensor:
    """Maps (N, C, H, W) as rows (N, H * W * C): of channels-last maps a view, and so is their gradient."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Fill every weight from N(0, 0.02), every batch-norm gain from N(1, 0.02), every bias with 0.

    Where nothing normalises, weights that small would let the signal fade: there they follow He et al. 2015.
    """
    plain = isinstance(network, Discriminator) and network.config["normalisation"] == "none"
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.weight.normal_(1.0, WEIGHT_STD, generator=generator)
                module.bias.zero_()
            elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                if parametrize.is_parametrized(module):
                    of_module: Any = module.parametrizations
                    normalised = of_module.weight
                    normalised.original.normal_(0.0, WEIGHT_STD, generator=generator)
                    _start_power_iteration(normalised[0], normalised.original, generator)
                elif plain:
                    nn.init.kaiming_normal_(module.weight, LEAK, generator=generator)
                else:
                    module.weight.normal_(0.0, WEIGHT_STD, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()


def _start_power_iteration(spectral: Any, weight: Tensor, generator: torch.Generator) -> None:
    """Singular vectors to start from that follow from the seed; torch's own follow from its global state."""
    matrix = weight.flatten(1)
    u = F.normalize(torch.randn(len(matrix), generator=generator), dim=0)
    for _ in range(POWER_ITERATIONS):
        v = F.normalize(matrix.T @ u, dim=0)
        u = F.normalize(matrix @ v, dim=0)
    spectral._u.copy_(u)
    spectral._v.copy_(v)


def fold(network: N) -> N:
    """Put plain weights in the place of spectrally normalised ones: what inference uses, and what is saved."""
    for module in network.modules():
        if parametrize.is_parametrized(module):
            # Deep copies, as averaged networks are, share a class with what they were copied from; what is removed
            # next is a property of that class.
            shared = type(module)
            module.__class__ = type(shared.__name__, shared.__bases__, dict(shared.__dict__))
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return network


def place(network: N, device: torch.device) -> N:
    """Move to the device, convolutions' weights channels last: the layout that both oneDNN and cuDNN are fastest in."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
