import numpy as np
import torch
from torch import nn

from ganpipe.analysis.guided import guided, strongest
from ganpipe.models.dcgan import Discriminator, fold, initialise, place
from ganpipe.models.pixels import freeze_on, to_network

CPU = torch.device("cpu")


def made() -> tuple[Discriminator, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    network = Discriminator(2)
    initialise(network, torch.Generator().manual_seed(0))
    fold(network)
    freeze_on(place(network, CPU), len(pixels), lambda rows: pixels[rows], CPU)
    return network.eval(), pixels


def test_the_strongest_images_are_those_of_brute_force() -> None:
    network, pixels = made()
    with torch.no_grad():
        maps = network.activations(to_network(torch.from_numpy(pixels)))[-1]
    expected = maps.amax((2, 3)).argsort(0, descending=True)[:4, :3].T
    np.testing.assert_array_equal(strongest(network, pixels, 3, 4, CPU), expected)


def test_it_is_what_gradients_through_hooks_give() -> None:
    """As it is usually done: hooks on leaky ReLUs that let pass no more than both signs allow."""
    network, pixels = made()
    layers: list[nn.Module] = []
    for conv, norm in zip(network.convs, network.norms, strict=True):
        layers += [conv, norm, nn.LeakyReLU(0.2)]
    images = to_network(torch.from_numpy(pixels[:3])).requires_grad_()
    x = images
    for layer in layers:
        before = x
        x = layer(x)
        if isinstance(layer, nn.LeakyReLU):
            positive = (before > 0).detach()
            x = x * positive + (x * ~positive).detach()  # nothing goes back where it was negative
            x.register_hook(lambda gradient: gradient.clamp_min(0))
    (gradient,) = torch.autograd.grad(x[:, 5].amax((1, 2)).sum(), images)
    most = gradient.abs().amax((1, 2, 3), keepdim=True)
    expected = (gradient / most * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1)
    found = guided(network, pixels[:3], 5, CPU)
    np.testing.assert_allclose(found.astype(int), expected.numpy().astype(int), atol=1)
    assert found.std() > 1
    assert all(0 in image or 255 in image for image in found)


def test_what_a_filter_does_not_see_stays_grey() -> None:
    network, pixels = made()
    shown = guided(network, pixels[:1], 0, CPU)
    with torch.no_grad():
        next(network.convs[0].parameters()).zero_()
    assert (shown != 128).any()
    assert (guided(network, pixels[:1], 0, CPU) == 128).all()
