"""The networks as onnxruntime runs them: written once to `.ckpt/demo/<checksum>.onnx`, then read from there."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganpipe import files
from ganpipe.demo.models import Model
from ganpipe.errors import UserError
from ganpipe.export import Exported, Statistics, export, pooled, write
from ganpipe.models.dcgan import Discriminator
from ganpipe.models.networks import AVERAGE, DISCRIMINATOR, GENERATOR
from ganpipe.models.store import load_config, load_discriminator
from ganpipe.runtime import cores

FORM = 1  # of what is cached: another number makes all of it anew
Part = Literal["generator", "discriminator"]


class Layers(nn.Module):
    """A discriminator's logits (n,), pooled features (n, feature_count), and each layer's maps."""

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = self.discriminator.activations(images)
        return self.discriminator(images), pooled(maps), *maps


def session(model: Model, part: Part, threads: int | None = None) -> Any:
    """The network, ready to run on `threads` of the CPU, all cores otherwise; exported first where it never was."""
    onnxruntime = runtime()
    path = cached(model, part)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others work on these cores, too
    for again in (False, True):
        if again or not path.exists():
            _write(model, part, path)
        try:
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception:  # what it raises for a damaged file is of no documented kind
            if again:
                raise
    raise AssertionError


def runtime() -> Any:
    """The onnxruntime module; a UserError where it is missing."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError("onnxruntime is not installed, which runs the networks: pip install 'ganpipe[demo]'") from None
    return onnxruntime


def cached(model: Model, part: Part) -> Path:
    """Where the network is, or will be: by what determines it."""
    name = GENERATOR if part == "generator" else DISCRIMINATOR
    weights = model.config["sha256"][name + (AVERAGE if _averaged(model, name) else "")]
    key = [FORM, part, weights, model.config[name], statistics(model)]
    return files.work_folder() / "demo" / f"{files.digest(key)}.onnx"


def statistics(model: Model) -> Statistics:
    """What a translator normalises by: as in its training, an image's own where a batch is one image."""
    return "image" if model.train.get("batch_size", 1) == 1 else "frozen"


def _averaged(model: Model, name: str) -> bool:
    return model.average and name + AVERAGE in model.config["sha256"]


def _write(model: Model, part: Part, path: Path) -> None:
    if load_config(model.folder)["sha256"] != model.config["sha256"]:  # they would be kept by the old ones' checksum
        raise UserError(f"{model.folder} holds another model than when this server was started: start it again")
    if part == "generator":
        export(model.folder, "generator", model.average, path, statistics(model))
        return
    discriminator = load_discriminator(model.folder, torch.device("cpu"), _averaged(model, DISCRIMINATOR))
    module = Layers(discriminator)
    size = discriminator.table.size
    outputs = ["logits", "features", *(f"maps_{number}" for number in range(1, len(discriminator.convs) + 1))]
    write(Exported(module, (3, size, size), ("images", outputs), module), {"sha256": model.config["sha256"]}, path)
