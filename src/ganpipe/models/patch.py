"""The discriminator of pix2pix (Isola et al. 2017, section 6.1.2): a logit for every patch of 70x70 pixels."""

from typing import Any, NamedTuple

from torch import Tensor, cat, nn
from torch.nn import functional as F

from ganpipe.models.norm import BatchNorm
from ganpipe.models.unet import EPSILON, LEAK


class PatchLayer(NamedTuple):
    """One convolution, 4x4, padded by 1. `filters` multiplies the width."""

    filters: int
    stride: int
    norm: bool = True


LAYERS = (  # C64-C128-C256-C512 at width 64; then a convolution to one logit a place
    PatchLayer(1, stride=2, norm=False),
    PatchLayer(2, stride=2),
    PatchLayer(4, stride=2),
    PatchLayer(8, stride=1),
)


class PatchDiscriminator(nn.Module):
    """A given image and another, each (N, 3, H, W) in [-1, 1], to logits (N, h, w): 30x30 of 256x256 pixels.

    Positive means that the other image is the real one.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.config: dict[str, Any] = {"width": width, "architecture": "patch"}
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        channels = 6
        for layer in LAYERS:
            filters = layer.filters * width
            self.convs.append(nn.Conv2d(channels, filters, 4, layer.stride, 1, bias=not layer.norm))
            self.norms.append(BatchNorm(filters, EPSILON) if layer.norm else nn.Identity())
            channels = filters
        self.head = nn.Conv2d(channels, 1, 4, 1, 1)

    def forward(self, given: Tensor, other: Tensor) -> Tensor:
        x = cat([given, other], dim=1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), LEAK)
        logits: Tensor = self.head(x)
        return logits.squeeze(1)
