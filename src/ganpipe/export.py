"""`ganpipe export`: a trained network as ONNX, for programs without torch; what is written gives what torch gives."""

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganpipe import files
from ganpipe.errors import UserError
from ganpipe.models.dcgan import POOLED, Discriminator
from ganpipe.models.networks import GENERATOR
from ganpipe.models.norm import BatchNorm
from ganpipe.models.store import load, load_config, load_discriminator, load_generator
from ganpipe.models.unet import UNet, translate

CLOSE = 1e-3  # that any output may differ from torch's
TRACED, CHECKED = 2, 5  # rows of the batch that is traced, and of the one that is compared: any number is taken
CPU = torch.device("cpu")

Network = Literal["generator", "discriminator"]
Statistics = Literal["image", "frozen"]


class Exported(NamedTuple):
    """What becomes ONNX: a module of plain operations, and what it must give."""

    module: nn.Module
    shape: tuple[int, ...]  # of one input
    names: tuple[str, list[str]]  # of the input and the outputs
    wanted: Callable[[Tensor], Tensor | tuple[Tensor, ...]]


def export(model: Path, network: Network, average: bool, to: Path, statistics: Statistics = "image") -> float:
    """Write the network of the folder `model` to the file `to`; how far its outputs are from torch's at the most.

    The generator takes `z`, float32 (n, latent), to `images`, (n, 3, size, size) in [-1, 1]; one that translates takes
    such `images` to `translated`, without dropout, normalised by each image's own `statistics` or by the frozen ones;
    the discriminator `images` to `logits`, (n,), and `features`, (n, feature_count), all layers' maps max-pooled to
    4x4. UserError where there is no such network, or no ONNX.
    """
    config = load_config(model)
    if network == "discriminator":
        discriminator = load_discriminator(model, CPU, average)
        size = discriminator.table.size
        measured = Measured(discriminator)
        exported = Exported(measured, (3, size, size), ("images", ["logits", "features"]), measured)
    elif isinstance(unet := load(model, GENERATOR, CPU, average), UNet):
        exported = _translating(unet, statistics)
    else:
        generator = load_generator(model, CPU, average)
        exported = Exported(generator, (generator.latent,), ("z", ["images"]), generator)
    return write(exported, {key: config.get(key) for key in (network, "train", "sha256")}, to)


def write(exported: Exported, about: dict[str, Any], to: Path) -> float:
    """Trace it, compare it with torch, and write it; how far its outputs are from what they must be at the most."""
    exported.module.eval()
    given = torch.rand(CHECKED, *exported.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    name, outputs = exported.names
    program = _traced(exported.module, given[:TRACED], name, outputs)
    program.model.metadata_props["ganpipe"] = json.dumps(about)
    with files.atomic(to) as draft:
        program.save(str(draft), external_data=False)
        apart = _apart(exported.wanted, draft, given)
        if not apart <= CLOSE:
            raise UserError(
                f"{to} would differ from the network by {apart:.1e}, more than {CLOSE:g}: it is not written"
            )
    return apart


class Measured(nn.Module):
    """A discriminator's logits and features at once, by operations that ONNX has."""

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits = self.discriminator(images)
        return logits, pooled(self.discriminator.activations(images))


def pooled(maps: list[Tensor]) -> Tensor:
    """Features (n, feature_count) of each layer's maps."""
    return torch.cat([_pooled(layer).flatten(1) for layer in maps], dim=1)


class _OwnStatistics(nn.Module):
    """Batch normalisation of images that come one at a time: of a batch, each by its own statistics."""

    def __init__(self, norm: BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.epsilon = norm.weight, norm.bias, norm.epsilon

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:].numel() == 1:  # its own mean: nothing but the bias remains, as in `BatchNorm`
            return x * 0 + self.bias[:, None, None]
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.epsilon)


def _translating(unet: UNet, statistics: Statistics) -> Exported:
    module = copy.deepcopy(unet)
    module.dropout = False
    if statistics == "image":
        for norms in (module.down_norms, module.up_norms):
            for number, norm in enumerate(norms):
                if isinstance(norm, BatchNorm):
                    norms[number] = _OwnStatistics(norm)

    def wanted(images: Tensor) -> Tensor:
        return translate(unet, images, statistics, dropout=False, seed=0)

    return Exported(module, (3, unet.table.size, unet.table.size), ("images", ["translated"]), wanted)


def _pooled(maps: Tensor) -> Tensor:
    """`adaptive_max_pool2d` to 4x4, cell by cell as that divides any side, for ONNX has only pools of one size."""
    side = maps.shape[-1]
    if side % POOLED == 0:
        return F.max_pool2d(maps, side // POOLED)
    cells = [slice(place * side // POOLED, -(-(place + 1) * side // POOLED)) for place in range(POOLED)]
    rows = [torch.stack([maps[..., down, across].amax((2, 3)) for across in cells], -1) for down in cells]
    return torch.stack(rows, -2)


def _traced(module: nn.Module, given: Tensor, name: str, outputs: list[str]) -> torch.onnx.ONNXProgram:
    try:
        import onnxruntime  # noqa: F401 (compares, later)
        import onnxscript  # noqa: F401 (torch's exporter wants it)
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: pip install 'ganpipe[onnx]'") from None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of what torch's own exporter will do otherwise one day
        program = torch.onnx.export(
            module,
            (given,),
            input_names=[name],
            output_names=outputs,
            dynamic_shapes=({0: "n"},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101 (it is what dynamo=True gives)
    return program


def _apart(module: Callable[[Tensor], Tensor | tuple[Tensor, ...]], path: Path, given: Tensor) -> float:
    """The most that an output of the file differs from the module's, on a batch of another size than was traced."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: given.numpy()})
    with torch.no_grad():
        wanted = module(given)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    return max(float(np.abs(one - other.numpy()).max()) for one, other in zip(found, wanted, strict=True))
