"""`ganpipe release`: a discriminator to give away, its kernels in bf16, without all that only its training needs."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from ganpipe.errors import UserError
from ganpipe.models.networks import AVERAGE, DISCRIMINATOR
from ganpipe.models.pixels import to_network
from ganpipe.models.store import load_config, load_discriminator, refuse_classifier, refuse_generator, save_gan

CPU = torch.device("cpu")
KERNELS = nn.Conv2d, nn.Linear  # most of the numbers; statistics and gains stay as they are
ABOUT = ("train", "precision", "corpus", "step")  # of the model's config, that go with it
IMAGES = 64  # of noise, that show what the rounding does


class Released(NamedTuple):
    """Bytes of the weights, and how far the rounding moved a feature at the most, relative to its layer's largest."""

    bytes: int
    moved: float


def release(model: Path, average: bool, out: Path) -> Released:
    """Write the discriminator of `model` to the folder `out`, as a model that `evaluate.weights` can name.

    `average` takes the averaged weights. What `out` held is replaced; UserError where that is a trained generator, or
    where `model` has no such discriminator, or one that was trained on labels.
    """
    refuse_generator(out)
    if out.resolve() == model.resolve():
        raise UserError(f"{out} is the model itself: name another folder")
    refuse_classifier(model)
    config, network = load_config(model), load_discriminator(model, CPU, average)
    noise = torch.randint(0, 256, (IMAGES, *[network.table.size] * 2, 3), generator=torch.Generator().manual_seed(0))
    images = to_network(noise.to(torch.uint8))
    with torch.no_grad():
        before = network.activations(images)
        for module in network.modules():
            if isinstance(module, KERNELS):
                module.weight.data = module.weight.to(torch.bfloat16).float()
        after = network.activations(images)
        for module in network.modules():
            if isinstance(module, KERNELS):
                module.weight.data = module.weight.to(torch.bfloat16)
    of = {"sha256": config["sha256"][DISCRIMINATOR + (AVERAGE if average else "")], "averaged": average}
    save_gan(out, {DISCRIMINATOR: network}, {**{key: config[key] for key in ABOUT if key in config}, "of": of})
    moved = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(before, after, strict=True))
    return Released((out / f"{DISCRIMINATOR}.safetensors").stat().st_size, moved)
