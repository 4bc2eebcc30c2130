import torch
from torch import nn

from ganpipe.models.norm import BatchNorm
from ganpipe.models.patch import PatchDiscriminator


def test_it_gives_thirty_by_thirty_logits_of_256_pixels() -> None:
    network, images = PatchDiscriminator(2), torch.rand(2, 3, 256, 256)
    assert network(images, images).shape == (2, 30, 30)


def test_at_width_64_it_is_the_papers() -> None:
    with torch.device("meta"):
        network = PatchDiscriminator(64)
    convs = [conv for conv in network.modules() if isinstance(conv, nn.Conv2d)]
    shapes = [(conv.in_channels, conv.out_channels, conv.stride[0]) for conv in convs]
    assert shapes == [(6, 64, 2), (64, 128, 2), (128, 256, 2), (256, 512, 1), (512, 1, 1)]


def test_a_logit_sees_seventy_by_seventy_pixels() -> None:
    network = PatchDiscriminator(1).eval()  # frozen statistics, or every logit would see all through them
    given, other = torch.rand(1, 3, 256, 256), torch.rand(1, 3, 256, 256, requires_grad=True)
    network(given, other)[0, 15, 15].backward()
    assert other.grad is not None
    rows, columns = other.grad.abs().sum((0, 1)).nonzero(as_tuple=True)
    assert int(rows.max() - rows.min()) + 1 == 70
    assert int(columns.max() - columns.min()) + 1 == 70


def test_it_has_as_many_weights_as_the_authors() -> None:
    """2.769 M at width 64; the first convolution is not normalised, and has a bias in its place."""
    with torch.device("meta"):
        network = PatchDiscriminator(64)
    assert sum(weights.numel() for weights in network.parameters()) == 2_768_705
    assert [isinstance(norm, BatchNorm) for norm in network.norms] == [False, True, True, True]
