"""A project with models that were never trained, but have all that the page shows: one draws, one makes images."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from ganpipe import files
from ganpipe.corpus.images import square
from ganpipe.corpus.shards import write_pixels
from ganpipe.dedupe import projection, whitened
from ganpipe.models.dcgan import Discriminator, Generator
from ganpipe.models.mlp import PerceptronDiscriminator, PerceptronGenerator
from ganpipe.models.networks import initialise
from ganpipe.models.patch import PatchDiscriminator
from ganpipe.models.store import save_gan
from ganpipe.models.unet import UNet
from support.scenes import scene, scenes

GANPIPE = Path(sys.executable).with_name("ganpipe")
LABELS = np.array([[0, 0, 222], [0, 48, 255], [0, 128, 255]], np.uint8)  # background, facade, window


def lively(network: nn.Module, seed: int) -> nn.Module:
    """Initialised, with weights so large that inputs matter, and statistics that are none of their defaults."""
    source = torch.Generator().manual_seed(seed)
    initialise(network, source)
    for parameter in network.parameters():
        parameter.data.mul_(4)
    for name, buffer in network.named_buffers():
        if name.endswith("variance"):
            buffer.uniform_(0.3, 3, generator=source)
    return network


def translator(folder: Path, width: int = 2, architecture: str = "pix2pix128", direction: str = "BtoA") -> Path:
    """From labels to photographs."""
    networks = {"generator": lively(UNet(width, architecture), 0), "discriminator": PatchDiscriminator(2)}
    save_gan(folder, networks, {"train": {"direction": direction, "batch_size": 1}, "corpus": {"name": "facades"}})
    return folder


def generator(folder: Path, latent: int = 12) -> Path:
    """Of images of 32 pixels a side."""
    networks = {"generator": lively(Generator(2, latent), 1), "discriminator": lively(Discriminator(2), 2)}
    about: dict[str, Any] = {"train": {"noise": "uniform"}, "corpus": {"name": "Some Images!", "resize": "bilinear"}}
    save_gan(folder, networks, about)
    return folder


def perceptron(folder: Path, architecture: str) -> Path:
    """Fully connected, of whatever that makes."""
    networks = {
        "generator": PerceptronGenerator(4, 3, architecture),
        "discriminator": PerceptronDiscriminator(4, architecture),
    }
    save_gan(folder, networks, {})
    return folder


def pairs(folder: Path, count: int = 6, side: int = 128) -> None:
    """A smooth photograph and a wall with windows each; the last two are the validation split."""
    photographs = np.stack([scene(seed, side, side) for seed in range(count)])
    labels = np.empty_like(photographs)
    for number, each in enumerate(labels):
        each[:] = LABELS[0]
        each[8:-8, 8:-8] = LABELS[1]
        each[20 + number : 40 + number, 30:50] = LABELS[2]
    pixels = np.concatenate([photographs, labels], axis=3)
    folder.mkdir(parents=True)
    splits = {"train": [0, count - 2], "val": [count - 2, count]}
    write_pixels(folder, [pixels], count, None, {"name": "pairs", "splits": splits})


def images(project: Path, count: int = 40) -> np.ndarray:
    """Smooth images and the hash that dedupe makes of them, uint8 (count, 32, 32, 3)."""
    made = scenes(count)
    folder = project / "data/processed"
    folder.mkdir(parents=True)
    write_pixels(folder, [made], count, None, {"name": "smooth"})
    deduped = project / "data/deduped"
    deduped.mkdir()
    small = np.stack([square(Image.fromarray(each), projection.SIZE, projection.RESIZE) for each in made])
    projection.save(deduped / "encoder.safetensors", whitened.fit(64, 0, count, lambda rows: small[rows]))
    files.write_json(
        deduped / "manifest.json", {"schema": 1, "settings": {"method": "whitened"}, "figures": {"radius": 6}}
    )
    return made


def project(root: Path) -> np.ndarray:
    """Both, in their places; the images."""
    translator(root / "studies/facades/models/gan")
    pairs(root / "studies/facades/data/processed")
    generator(root / "models/gan")
    return images(root)


class Project:
    """`root`, with a model that draws, `facades`, and one of images, `some-images`, trained on `images`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".dvc").mkdir()
        self.images = project(root)
