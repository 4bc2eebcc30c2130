import pytest
import torch
from torch import nn

from ganpipe.models.norm import BatchNorm, freeze_statistics
from ganpipe.models.unet import UNETS, UNet, translate


def made(architecture: str = "pix2pix128", width: int = 2, **changes: bool) -> UNet:
    torch.manual_seed(0)
    return UNet(width, architecture, **changes)


@pytest.mark.parametrize("architecture", UNETS)
def test_the_last_map_on_the_way_down_is_a_single_place(architecture: str) -> None:
    network, side = made(architecture), UNETS[architecture].size
    x = torch.rand(2, 3, side, side)
    with torch.no_grad():
        assert network(x).shape == x.shape
        assert 2 ** len(network.table.down) == side
    assert network(x[:1]).abs().max() <= 1


def shapes(part: nn.ModuleList) -> list[tuple[int, int]]:
    convs = [conv for conv in part if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)]
    assert all(conv.kernel_size == (4, 4) and conv.stride == (2, 2) for conv in convs)
    return [(conv.in_channels, conv.out_channels) for conv in convs]


def test_at_width_64_it_is_the_papers() -> None:
    with torch.device("meta"):
        network = UNet(64, "pix2pix256")
    down = shapes(network.down)
    assert down == [(3, 64), (64, 128), (128, 256), (256, 512), *[(512, 512)] * 4]
    up = shapes(network.up)
    assert up == [(512, 512), (1024, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64)]
    assert network.to_pixels.in_channels == 128
    # The authors' later code has 54,413,955: no bias at the first and the last convolution on the way down.
    assert sum(weight.numel() for weight in network.parameters()) == 54_413_955 + 64 + 512
    assert isinstance(network.down_norms[0], nn.Identity)
    assert isinstance(network.down_norms[-1], nn.Identity)


def test_the_first_convolution_sees_the_image_as_it_is() -> None:
    network, images = made(), torch.rand(1, 3, 128, 128) - 0.5
    seen: list[torch.Tensor] = []
    network.down[0].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    network(images)
    assert torch.equal(seen[0], images)


@pytest.mark.parametrize("architecture", UNETS)
def test_half_the_units_of_three_layers_are_dropped(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[tuple[float, int]] = []

    def dropout(maps: torch.Tensor, share: float, active: bool) -> torch.Tensor:
        assert active
        dropped.append((share, maps.shape[-1]))
        return maps

    monkeypatch.setattr("ganpipe.models.unet.F.dropout", dropout)
    network = made(architecture)
    network(torch.rand(1, 3, network.table.size, network.table.size))
    assert dropped == [(0.5, 2), (0.5, 4), (0.5, 8)]


def test_the_bottlenecks_normalisation_leaves_nothing_but_its_bias_of_one_image() -> None:
    network = made(bottleneck_norm=True)
    norm = network.down_norms[-1]
    assert isinstance(norm, BatchNorm)
    seen: list[torch.Tensor] = []
    norm.register_forward_hook(lambda module, given, result: seen.append(result))
    with torch.no_grad():
        norm.bias.fill_(0.25)
        for _ in range(2):
            network(torch.rand(1, 3, 128, 128))
    assert all(torch.equal(result, torch.full_like(result, 0.25)) for result in seen)
    freeze_statistics(network, (torch.rand(1, 3, 128, 128) for _ in range(3)))
    assert norm.mean.isfinite().all()
    assert not norm.variance.any()


def test_what_each_switch_of_inference_does() -> None:
    network, images = made(width=4), torch.rand(3, 3, 128, 128)
    freeze_statistics(network, images.split(1))  # type: ignore[no-untyped-call]
    published = translate(network, images, "image", True, 1)
    assert torch.equal(published, translate(network, images, "image", True, 1))
    assert not torch.equal(published, translate(network, images, "image", True, 2))  # what is dropped
    for statistics in ("image", "frozen"):
        still = [translate(network, images, statistics, False, seed) for seed in (1, 2)]
        assert torch.equal(*still)
    alone, together = (translate(network, given, "image", False, 0) for given in (images[:1], images))
    assert torch.equal(alone, together[:1])  # an image's statistics are its own
    assert not torch.equal(together, translate(network, images, "frozen", False, 0))
