"""The networks of pix2pix (Isola et al. 2017, arXiv:1611.07004, section 6.1): from one image to another.

Images are float, NCHW, in [-1, 1]. The generator is a U-Net: every convolution 4x4 with stride 2, and each map on the
way up is joined by the one of its size from the way down. The discriminator, `patch.py`, looks at both images.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganpipe.models.norm import BatchNorm

EPSILON = 1e-5  # of batch normalisation, torch's default, as in the authors' code
LEAK = 0.2


class UNetTable(NamedTuple):
    """A generator for images of `size` pixels: the filters on the way down, in multiples of its width."""

    size: int
    down: tuple[int, ...]  # the last one's maps are 1x1
    dropped: int  # layers on the way up, from the 1x1 maps on, with dropout of half their units

    @property
    def up(self) -> tuple[int, ...]:
        """The filters on the way up, before what joins them; then a last convolution makes pixels."""
        return self.down[-2::-1]


UNETS = {
    # C64-C128-C256-C512-C512-C512-C512-C512 and CD512-CD512-CD512-C512-C256-C128-C64 at width 64.
    "pix2pix256": UNetTable(size=256, down=(1, 2, 4, 8, 8, 8, 8, 8), dropped=3),
    # The same for half the side, with one layer less at the bottom.
    "pix2pix128": UNetTable(size=128, down=(1, 2, 4, 8, 8, 8, 8), dropped=3),
}


class UNet(nn.Module):
    """Images (N, 3, size, size) to images of the same shape, in [-1, 1].

    `bottleneck_norm` normalises the 1x1 maps too: with a batch of one image these are all their own mean, so that only
    the bias remains of them. In training mode maps are normalised by their batch's statistics, in eval mode by the
    frozen ones. `dropout` is there in either mode as long as it is set: it is the only noise that the network has.
    """

    def __init__(self, width: int, architecture: str, bottleneck_norm: bool = False) -> None:
        super().__init__()
        self.width, self.table, self.dropout = width, UNETS[architecture], True
        self.config: dict[str, Any] = {
            "width": width,
            "architecture": architecture,
            "bottleneck_norm": bottleneck_norm,
        }
        self.down, self.down_norms = nn.ModuleList(), nn.ModuleList()
        channels = 3
        last = len(self.table.down) - 1
        for number, times in enumerate(self.table.down):
            normed = 0 < number < last or (number == last and bottleneck_norm)
            self.down.append(nn.Conv2d(channels, times * width, 4, 2, 1, bias=not normed))
            self.down_norms.append(BatchNorm(times * width, EPSILON) if normed else nn.Identity())
            channels = times * width
        self.up, self.up_norms = nn.ModuleList(), nn.ModuleList()
        for times in self.table.up:
            self.up.append(nn.ConvTranspose2d(channels, times * width, 4, 2, 1, bias=False))
            self.up_norms.append(BatchNorm(times * width, EPSILON))
            channels = 2 * times * width  # with what joins it
        self.to_pixels = nn.ConvTranspose2d(channels, 3, 4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        maps, x = [], images
        for number, (conv, norm) in enumerate(zip(self.down, self.down_norms, strict=True)):
            x = norm(conv(F.leaky_relu(x, LEAK) if number else x))
            maps.append(x)
        for number, (conv, norm) in enumerate(zip(self.up, self.up_norms, strict=True)):
            x = norm(conv(F.relu(x)))
            if number < self.table.dropped:
                x = F.dropout(x, 0.5, self.dropout)
            x = torch.cat([x, maps[-2 - number]], dim=1)
        return torch.tanh(self.to_pixels(F.relu(x)))


@torch.no_grad()
def translate(network: UNet, images: Tensor, statistics: str, dropout: bool, seed: int) -> Tensor:
    """Images (N, 3, S, S) to images, float32: normalised by each `image`'s own statistics, or by the `frozen` ones.

    As published, an image's own statistics and dropout are used as in training. `seed` determines what is dropped. The
    network is left in the mode that was asked for.
    """
    network.train(statistics == "image")
    network.dropout = dropout
    torch.manual_seed(seed)
    try:
        return torch.cat([network(image).float() for image in torch.split(images, 1)])
    finally:
        network.dropout = True
