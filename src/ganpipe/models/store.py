"""Networks on disk: safetensors and a `config.json`, in one folder. No pickle is read or written."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from ganpipe import files
from ganpipe.errors import UserError
from ganpipe.manifest import SCHEMA
from ganpipe.models.dcgan import Discriminator, Generator, fold, place
from ganpipe.models.mlp import PerceptronGenerator
from ganpipe.models.networks import AVERAGE, DISCRIMINATOR, GENERATOR, make, served
from ganpipe.models.unet import UNet

N = TypeVar("N", bound=nn.Module)
Sampler = Generator | PerceptronGenerator
CONFIG = "config.json"
GAN, CLASSIFIER = "gan", "classifier"  # what the weights were trained for
ANEW = "`dvc repro --force --single-item train` makes the pipeline's own anew"
AVERAGED = ":average"  # behind the name of a model's folder
KEPT = "kept"  # the subfolder of networks of the way, each a model's folder of its own: step-000001000


def save_gan(folder: Path, networks: Mapping[str, nn.Module], about: dict[str, Any]) -> dict[str, str]:
    """Write networks, with their frozen statistics, by name, and a config that says how to build them; their checksums.

    The names are `discriminator`, `generator` where there is one, and of averaged weights `generator_average` and
    `discriminator_average`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checksums = {}
    for name, network in networks.items():
        path = folder / f"{name}.safetensors"
        state = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
        with files.atomic(path) as draft:
            draft.write_bytes(safetensors.torch.save(state))
        checksums[name] = files.sha256(path)
    shapes = {name: cast(Any, networks[name]).config for name in (GENERATOR, DISCRIMINATOR) if name in networks}
    files.write_json(folder / CONFIG, {"schema": SCHEMA, "network": GAN, **shapes, **about, "sha256": checksums})
    return checksums


def refuse_generator(folder: Path) -> None:
    """A UserError where `folder` holds a generator, which took hours and would be lost."""
    if (folder / "generator.safetensors").exists():
        raise UserError(f"{folder} holds a trained generator: choose another folder")


def refuse_classifier(folder: Path) -> None:
    """A UserError where what `folder` holds was trained on labels."""
    if load_config(folder)["network"] == CLASSIFIER:
        raise UserError(
            f"{folder} is a classifier, trained on labels: it serves `ganpipe distances`, and no figure here"
        )


def kept_folders(folder: Path) -> dict[int, Path]:
    """The folders of networks of the way, by step."""
    return {load_config(each)["step"]: each for each in sorted((folder / KEPT).glob("step-*"))}


def load_config(folder: Path) -> dict[str, Any]:
    """What `save_gan` wrote beside the weights; a UserError where there is none."""
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} holds no {CONFIG}, so it is no trained model: `dvc repro train` makes one") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{folder / CONFIG} is not JSON ({error}): {ANEW}") from None
    if (
        not isinstance(config, dict)
        or config.get("schema") != SCHEMA
        or config.get("network") not in (GAN, CLASSIFIER)
        or not {"discriminator", "sha256"} <= config.keys()
        or not isinstance(config["sha256"], dict)
    ):
        raise UserError(f"{folder} is of a form that this version does not read: see {folder / CONFIG}; {ANEW}")
    return config


def split_average(text: str) -> tuple[Path, bool]:
    """The folder of a model as a user names it, and whether `:average` behind it asks for the averaged weights."""
    return Path(text.removesuffix(AVERAGED)), text.endswith(AVERAGED)


def load_discriminator(folder: Path, device: torch.device, average: bool = False) -> Discriminator:
    """The folder's discriminator, in eval mode with its frozen statistics. UserError if it is missing or damaged.

    `average` takes the averaged weights.
    """
    network = load(folder, DISCRIMINATOR, device, average)
    if not isinstance(network, Discriminator):
        raise UserError(f"{folder} holds a discriminator without convolutional features of images: {_told(network)}")
    return network


def load_generator(folder: Path, device: torch.device, average: bool = False) -> Sampler:
    """The folder's generator of images from noise, likewise."""
    network = load(folder, GENERATOR, device, average)
    if not isinstance(network, Sampler) or served(network.config)[1].dtype != np.uint8:
        raise UserError(f"{folder} holds a generator that makes no images from noise: {_told(network)}")
    return network


def load_translator(folder: Path, device: torch.device, average: bool = False) -> UNet:
    """The folder's generator from images to images, likewise."""
    network = load(folder, GENERATOR, device, average)
    if not isinstance(network, UNet):
        raise UserError(f"{folder} holds a generator that translates no images: {_told(network)}")
    return network


def load(folder: Path, name: str, device: torch.device, average: bool = False) -> nn.Module:
    """The folder's `generator` or `discriminator`, of whatever kind, likewise."""
    config = load_config(folder)
    if name not in config:
        raise UserError(f"{folder} holds no {name}")
    name += AVERAGE if average else ""
    if name not in config["sha256"]:
        raise UserError(f"{folder} holds no {name}: its training kept no averaged weights (train.average is 0)")
    try:
        network = fold(make(name, config[name.removesuffix(AVERAGE)]))
    except (ValueError, TypeError, KeyError, RuntimeError):  # the last is torch's, of sizes that no tensor has
        raise UserError(f"{folder / CONFIG} describes a network that this version does not know: {ANEW}") from None
    return _load(network, folder, name, config, device)


def _told(network: nn.Module) -> str:
    return f"its network is {cast(Any, network).config['architecture']}"


def _load(network: N, folder: Path, name: str, config: dict[str, Any], device: torch.device) -> N:
    path = folder / f"{name}.safetensors"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: `dvc repro train` or `dvc checkout` brings it back") from None
    if hashlib.sha256(data).hexdigest() != config["sha256"][name]:
        # Not `dvc checkout`: that trusts a file whose date is as it was, and a cache that shares its bytes.
        raise UserError(f"{path} is damaged, its checksum is not the one in {CONFIG}: {ANEW}")
    try:
        network.load_state_dict(safetensors.torch.load(data))
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path} does not hold these weights: {str(error).splitlines()[0]}") from None
    return place(network, device).eval()
