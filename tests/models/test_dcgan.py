import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganpipe.models.dcgan import ARCHITECTURES, Discriminator, Generator, fold, initialise

# The paper's 32x32 networks at their own width, (channels in, channels out) of each 3x3 convolution, from its text.
PAPER_D = [(3, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
PAPER_G = [(512, 512), (512, 256), (256, 256), (256, 128), (128, 128), (128, 3)]
PAPER_LATENT = 256


def convolutions(pairs: list[tuple[int, int]]) -> int:
    return sum(3 * 3 * into * out for into, out in pairs)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def made(network: nn.Module, seed: int) -> nn.Module:
    initialise(network, torch.Generator().manual_seed(seed))
    return network


def by_kind(network: nn.Module) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Weights, gains and biases; whatever is no bias and no matrix is a gain."""
    named: dict[str, Tensor] = dict(network.named_parameters())
    biases = [named.pop(name) for name in list(named) if name.endswith("bias")]
    return [p for p in named.values() if p.ndim > 1], [p for p in named.values() if p.ndim == 1], biases


def networks(width: int = 16) -> list[nn.Module]:
    return [Discriminator(width), Generator(width, latent=32)]


def test_discriminator_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        network = Discriminator(128)
    norms = 2 * sum(out for _, out in PAPER_D[1:])  # a gain and a bias a channel, none after the first layer
    expected = convolutions(PAPER_D) + norms + 512 * 4 * 4
    assert parameters(network) == expected == 4_586_112


def test_generator_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        network = Generator(128, PAPER_LATENT)
    norms = 2 * (512 + sum(out for _, out in PAPER_G[:-1]))  # also after the linear map, none before the pixels
    expected = PAPER_LATENT * 512 * 4 * 4 + convolutions(PAPER_G) + norms
    assert parameters(network) == expected == 6_675_328


def test_the_papers_width_gives_28672_features() -> None:
    with torch.device("meta"):
        network = Discriminator(128)
    assert network.feature_count == 28_672 == 16 * sum(out for _, out in PAPER_D)


def test_every_layer_of_the_discriminator_has_its_shape() -> None:
    maps = Discriminator(8).activations(torch.zeros(2, 3, 32, 32))
    channels, sides = [8, 8, 16, 16, 32, 32], [32, 16, 16, 8, 8, 4]
    assert [tuple(m.shape) for m in maps] == [(2, c, s, s) for c, s in zip(channels, sides, strict=True)]
    assert Discriminator(8)(torch.zeros(2, 3, 32, 32)).shape == (2,)


def test_every_layer_of_the_generator_has_its_shape() -> None:
    network, shapes = Generator(8, latent=5), []
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.register_forward_hook(lambda _module, _inputs, out: shapes.append(tuple(out.shape)))
    network(torch.zeros(2, 5))
    channels, sides = [32, 16, 16, 8, 8, 3], [8, 8, 16, 16, 32, 32]
    assert shapes == [(2, c, s, s) for c, s in zip(channels, sides, strict=True)]


def test_convolutions_and_linear_maps_have_no_biases() -> None:
    for network in networks():
        maps = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
        assert len(maps) == 7
        assert all(m.bias is None for m in maps)


def test_initial_values_have_the_papers_statistics() -> None:
    for network in networks(width=32):
        weights, gains, biases = by_kind(made(network, 0))
        # Each map by itself, so that no layer is left at torch's own initialisation.
        for values, centre in [*((w, 0.0) for w in weights), (torch.cat(gains), 1.0)]:
            error = 0.02 / values.numel() ** 0.5
            assert abs(values.mean().item() - centre) < 5 * error
            assert abs(values.std().item() - 0.02) < 5 * error
        assert all((b == 0).all() for b in biases)


def test_equal_seeds_make_equal_weights() -> None:
    for first, second, other in zip(networks(), networks(), networks(), strict=True):
        made(first, 3), made(second, 3), made(other, 4)
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
        assert not any(torch.equal(a, b) for a, b in zip(by_kind(first)[0], by_kind(other)[0], strict=True))


@pytest.mark.parametrize("scale", [1, 1000])
def test_generated_pixels_stay_in_range(scale: float) -> None:
    network = made(Generator(4, latent=8), 0)
    images = network(scale * (torch.rand(16, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1))
    assert images.shape == (16, 3, 32, 32)
    assert images.abs().max() <= 1
    assert images.std() > 0


def test_every_parameter_learns() -> None:
    generator, discriminator = made(Generator(4, latent=8), 0), made(Discriminator(4), 1)
    z = torch.rand(8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
    discriminator(generator(z)).square().mean().backward()
    for network in (generator, discriminator):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        assert all(float(p.grad.abs().max()) > 0 for p in network.parameters() if p.grad is not None)


# The other tables at a width of 4: (channels, side) of every map, D's from the first layer, G's after the linear map.
MAPS = {
    "dcgan64": ([(4, 32), (8, 16), (16, 8), (32, 4)], [(16, 8), (8, 16), (4, 32), (3, 64)]),
    "svhn32": ([(4, 16), (8, 8), (16, 4)], [(8, 8), (4, 16), (3, 32)]),
    "dcgan28": ([(4, 14), (8, 7)], [(4, 14), (3, 28)]),
}


@pytest.mark.parametrize("name", MAPS)
def test_the_other_tables_have_their_shapes(name: str) -> None:
    discriminator, generator, shapes = Discriminator(4, name), Generator(4, 5, name), []
    for module in generator.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.register_forward_hook(lambda _module, _inputs, out: shapes.append(tuple(out.shape[1:3])))
    images = generator(torch.zeros(2, 5))
    assert [tuple(m.shape[1:3]) for m in discriminator.activations(images)] == MAPS[name][0]
    assert shapes == MAPS[name][1]
    assert discriminator(images).shape == (2,)
    assert discriminator.features(images).shape == (2, discriminator.feature_count)


def test_figure_1_at_its_width() -> None:
    with torch.device("meta"):
        generator, discriminator = Generator(128, 100, "dcgan64"), Discriminator(128, "dcgan64")
    maps = [(1024, 512), (512, 256), (256, 128), (128, 3)]
    norms = 2 * (1024 + 512 + 256 + 128)
    assert parameters(generator) == 100 * 1024 * 16 + 25 * sum(a * b for a, b in maps) + norms
    down = [(3, 128), (128, 256), (256, 512), (512, 1024)]
    assert parameters(discriminator) == 25 * sum(a * b for a, b in down) + 2 * (256 + 512 + 1024) + 1024 * 16


def test_svhns_released_model_has_7168_features() -> None:
    with torch.device("meta"):
        assert Discriminator(64, "svhn32").feature_count == 7_168


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_table_has_biases_under_batch_norm_and_all_have_them_without(name: str) -> None:
    for network in (Discriminator(2, name), Generator(2, 4, name)):
        assert not [key for key, _ in network.named_parameters() if key.endswith("bias") and "norm" not in key]
    bare = Discriminator(2, name, "none")
    assert all(conv.bias is not None for conv in bare.convs)
    assert not any("norm" in key for key, _ in bare.named_parameters())


def test_a_spectral_norm_makes_the_largest_singular_value_one() -> None:
    network = Discriminator(8, normalisation="spectral")
    initialise(network, torch.Generator().manual_seed(0))
    for module in [*network.convs, network.head]:
        assert torch.linalg.matrix_norm(module.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


def test_weights_under_a_spectral_norm_begin_like_all_others() -> None:
    network = Discriminator(16, normalisation="spectral")
    initialise(network, torch.Generator().manual_seed(0))
    originals = [tensor for name, tensor in network.named_parameters() if name.endswith("original")]
    assert len(originals) == 7
    assert torch.cat([tensor.flatten() for tensor in originals]).std().item() == pytest.approx(0.02, rel=0.02)


def test_a_copy_can_be_folded_and_the_network_goes_on() -> None:
    network, images = Discriminator(3, normalisation="spectral").eval(), torch.rand(4, 3, 32, 32)
    copied, before = copy.deepcopy(network), network(images)
    assert torch.allclose(fold(copied)(images), before, atol=1e-6)
    assert torch.equal(network(images), before)
    assert torch.equal(fold(network)(images), fold(copied)(images))
    assert type(network.convs[1]) is type(copied.convs[1]) is torch.nn.Conv2d


def test_a_spectral_norm_starts_from_the_seed_and_from_nothing_else() -> None:
    states = []
    for elsewhere in (1, 2):
        torch.manual_seed(elsewhere)
        network = Discriminator(3, normalisation="spectral")
        initialise(network, torch.Generator().manual_seed(7))
        states.append(network.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_folded_weights_compute_the_same() -> None:
    network, images = Discriminator(3, normalisation="spectral", rotation=True).eval(), torch.rand(4, 3, 32, 32)
    initialise(network, torch.Generator().manual_seed(0))
    before = network(images), network.rotations(images)
    plain = Discriminator(3, normalisation="none", rotation=True)
    plain.load_state_dict(fold(network).state_dict())
    torch.testing.assert_close((plain(images), plain.rotations(images)), before)


@pytest.mark.parametrize("width", [4, 32])
def test_without_normalisation_the_signal_does_not_fade(width: int) -> None:
    network = Discriminator(width, normalisation="none")
    initialise(network, torch.Generator().manual_seed(0))
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        maps = network.activations(images)
    first, last = float(maps[0].std()), float(maps[-1].std())
    assert 0.2 < last / first < 5


def test_a_discriminators_logits_are_the_papers_maps_written_out() -> None:
    d = Discriminator(3, normalisation="none")
    initialise(d, torch.Generator().manual_seed(0))
    x = images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for conv, stride in zip(d.convs, (1, 2, 1, 2, 1, 2), strict=True):
        x = F.conv2d(x, conv.get_parameter("weight"), conv.get_parameter("bias"), stride, padding=1)
        x = torch.where(x > 0, x, 0.2 * x)
    torch.testing.assert_close(d(images), (x.permute(0, 2, 3, 1).flatten(1) @ d.head.weight.T)[:, 0])


@torch.no_grad()
def test_a_generators_pixels_are_the_papers_maps_written_out() -> None:
    g = Generator(3, latent=5).eval()
    initialise(g, torch.Generator().manual_seed(0))
    z = torch.rand(2, 5, generator=torch.Generator().manual_seed(1)) * 2 - 1
    x = g.project_norm((z @ g.project.weight.T).view(2, 4, 4, 12).permute(0, 3, 1, 2)).clamp(min=0)
    for conv, norm, stride in zip(g.convs, g.norms, (2, 1, 2, 1, 2), strict=True):
        x = norm(F.conv_transpose2d(x, conv.get_parameter("weight"), None, stride, 1, stride - 1)).clamp(min=0)
    x = F.conv_transpose2d(x, g.to_pixels.weight, None, 1, 1)
    scale = 2 / x.abs().max()  # else every pixel is near 0, where tanh is a line
    g.to_pixels.weight.mul_(scale)
    torch.testing.assert_close(g(z), (x * scale).tanh(), rtol=1e-4, atol=1e-5)


def test_every_bias_begins_at_zero() -> None:
    for network in (Discriminator(3), Discriminator(3, normalisation="none"), Generator(3, 4)):
        biases = [tensor for name, tensor in network.named_parameters() if name.endswith("bias")]
        for bias in biases:
            nn.init.constant_(bias, 7.0)
        initialise(network, torch.Generator().manual_seed(0))
        assert biases and all((bias == 0).all() for bias in biases)
