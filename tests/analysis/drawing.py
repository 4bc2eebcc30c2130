"""Generators whose weights are set by hand, so that it is known what each number of z and each map draws."""

from typing import cast

from torch import nn

from ganpipe.models.dcgan import Generator

SIZE, PLACE, BLOCK = 64, 1, 16  # of the image; of the known patch, at 4x4, which is so many pixels wide
PATCH = (slice(PLACE * BLOCK, (PLACE + 1) * BLOCK),) * 2
PATCH_MAP, ELSEWHERE, EVERYWHERE = 0, 1, 2  # of the second highest convolution's four maps; the last one is dead


def patchy() -> Generator:
    """z[0] > 0 draws a red patch at a known place, z[1] green everywhere else, and a map is everywhere the same."""
    network = Generator(2, 2, "dcgan64").eval()
    nn.init.zeros_(network.project.weight)
    maps = network.project.weight.data.view(4, 4, 16, 2)  # by place, map, and number of z
    maps[PLACE, PLACE, 0, 0] = 1
    maps[:, :, 1, 1], maps[:, :, 2, 1] = 1, -1  # together the number's size, whatever its sign
    maps[PLACE, PLACE, 1:3] = 0
    _enlarge(network.convs[0], [(0, 0, 1), (1, 1, 1), (2, 1, 1)])
    _enlarge(network.convs[1], [(0, PATCH_MAP, 1), (1, ELSEWHERE, 1)])
    cast(nn.Parameter, network.norms[1].bias).data[EVERYWHERE] = 0.5
    _enlarge(network.convs[2], [(PATCH_MAP, 0, 1), (ELSEWHERE, 1, 1)])
    _enlarge(network.to_pixels, [(0, 0, 1), (1, 1, 1)])
    return network


def tinted(latent: int) -> Generator:
    """28x28, in one colour: the more of z[0] in [-1, 1], the more red, the more of z[1], the more green."""
    network = Generator(2, latent, "dcgan28").eval()
    nn.init.zeros_(network.project.weight)
    maps = network.project.weight.data.view(7, 7, 4, latent)
    for number in range(2):
        maps[:, :, 2 * number, number], maps[:, :, 2 * number + 1, number] = 1, -1
    _enlarge(network.convs[0], [(0, 0, 1), (1, 0, -1), (2, 1, 1), (3, 1, -1)])
    cast(nn.Parameter, network.norms[0].bias).data[:] = 1  # so that ReLU cuts nothing off
    _enlarge(network.to_pixels, [(0, 0, 1), (1, 1, 1)])
    return network


def _enlarge(conv: nn.Module, ways: list[tuple[int, int, float]]) -> None:
    """Make a stride-2 convolution copy maps, each pixel to 2x2: (from, to, factor)."""
    weight = cast(nn.ConvTranspose2d, conv).weight
    nn.init.zeros_(weight)
    for source, to, factor in ways:
        weight.data[source, to, 2:4, 2:4] = factor
