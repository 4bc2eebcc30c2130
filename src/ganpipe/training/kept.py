"""Discriminators of the way, kept as they were after so many steps, so that what they had learned can be measured."""

from pathlib import Path

import safetensors.torch
import torch

from ganpipe import files
from ganpipe.models.dcgan import Discriminator, place
from ganpipe.runtime import from_the_first, world
from ganpipe.training.params import TrainParams

Networks = dict[str, Discriminator]  # by the name that `models.store` gives them


def paths(params: TrainParams, work: Path) -> dict[int, Path]:
    """Where each of them lies in the work folder, by step; the last one too, for a longer training."""
    steps = range(params.keep_every, params.steps + 1, params.keep_every) if params.keep_every else ()
    return {step: work / f"kept-{step:09}.safetensors" for step in steps}


def save(path: Path, networks: Networks) -> None:
    """Write the weights; of several processes that share the training the first one does."""
    if world()[0] != 0:
        return
    state = {
        f"{name}/{key}": value.cpu() for name, each in networks.items() for key, value in each.state_dict().items()
    }
    with files.atomic(path) as draft:
        draft.write_bytes(safetensors.torch.save({key: value.contiguous() for key, value in state.items()}))


def load(path: Path, like: Networks, device: torch.device) -> Networks:
    """The networks of `path`, built like the ones in training; for all processes that share the training."""
    state = from_the_first(safetensors.torch.load_file(path) if world()[0] == 0 else None) or {}
    found = {}
    for name, each in like.items():
        found[name] = Discriminator(**each.config)
        found[name].load_state_dict({key: state[f"{name}/{key}"] for key in found[name].state_dict()})
        place(found[name], device)
    return found
