"""Networks of the way, kept as they were after so many steps, so that what they had learned can be measured."""

from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ganpipe import files
from ganpipe.models.dcgan import fold, place
from ganpipe.models.networks import Networks, make
from ganpipe.runtime import from_the_first, world
from ganpipe.training.params import Training


def paths(params: Training, work: Path) -> dict[int, Path]:
    """Where each of them lies in the work folder, by step; the last one too, for a longer training."""
    steps = range(params.keep_every, params.steps + 1, params.keep_every) if params.keep_every else ()
    return {step: work / f"kept-{step:09}.safetensors" for step in steps}


def save(path: Path, networks: Networks) -> dict[str, str]:
    """Write the weights; the file's checksum by its name.

    Of several processes that share the training the first one writes.
    """
    if world()[0] != 0:
        return {}
    state = {
        f"{name}/{key}": value.cpu() for name, each in networks.items() for key, value in each.state_dict().items()
    }
    with files.atomic(path) as draft:
        draft.write_bytes(safetensors.torch.save({key: value.contiguous() for key, value in state.items()}))
    return {path.name: files.sha256(path)}


def load(path: Path, like: Networks, device: torch.device, checksum: str | None) -> Networks:
    """The networks of `path`, built like the ones in training; none where the file is missing or damaged.

    For all processes that share the training.
    """
    state = from_the_first(_read(path, checksum) if world()[0] == 0 else None)
    if state is None:
        return {}
    networks = {name: place(_empty(name, each), device) for name, each in like.items()}
    _fill(networks, state)
    return networks


def frozen(path: Path, like: Networks) -> Networks:
    """The networks of `path`, with the plain weights and the frozen statistics that they were saved with."""
    networks = {name: fold(_empty(name, each)) for name, each in like.items()}
    _fill(networks, safetensors.torch.load_file(path))
    return networks


def _empty(name: str, like: nn.Module) -> nn.Module:
    return make(name, cast(Any, like).config)


def _fill(networks: Networks, state: dict[str, Tensor]) -> None:
    for name, each in networks.items():
        each.load_state_dict({key: state[f"{name}/{key}"] for key in each.state_dict()})


def _read(path: Path, checksum: str | None) -> dict[str, Tensor] | None:
    try:
        if checksum not in (None, files.sha256(path)):
            raise OSError("its checksum is not the one that it was written with")
        return safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        print(f"warning: {path} is missing or damaged, so it is left out: {error}", flush=True)
        return None
