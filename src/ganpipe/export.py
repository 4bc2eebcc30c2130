"""`ganpipe export`: a trained network as ONNX, for programs without torch; what is written gives what torch gives."""

import json
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganpipe import files
from ganpipe.errors import UserError
from ganpipe.models.dcgan import POOLED, Discriminator
from ganpipe.models.store import load_config, load_discriminator, load_generator

CLOSE = 1e-3  # that any output may differ from torch's
TRACED, CHECKED = 2, 5  # rows of the batch that is traced, and of the one that is compared: any number is taken
CPU = torch.device("cpu")

Network = Literal["generator", "discriminator"]


def export(model: Path, network: Network, average: bool, to: Path) -> float:
    """Write the network of the folder `model` to the file `to`; how far its outputs are from torch's at the most.

    The generator takes `z`, float32 (n, latent), to `images`, (n, 3, size, size) in [-1, 1]; the discriminator such
    `images` to `logits`, (n,), and `features`, (n, feature_count), all layers' maps max-pooled to 4x4. UserError where
    there is no such network, or no ONNX.
    """
    config = load_config(model)
    module: nn.Module
    shape: tuple[int, ...]
    if network == "generator":
        generator = load_generator(model, CPU, average)
        module, shape, names = generator, (generator.latent,), ("z", ["images"])
    else:
        discriminator = load_discriminator(model, CPU, average)
        size = discriminator.table.size
        module, shape, names = _Measured(discriminator), (3, size, size), ("images", ["logits", "features"])
    module.eval()
    given = torch.rand(CHECKED, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    program = _traced(module, given[:TRACED], *names)
    program.model.metadata_props["ganpipe"] = json.dumps({key: config.get(key) for key in (network, "train", "sha256")})
    with files.atomic(to) as draft:
        program.save(str(draft), external_data=False)
        apart = _apart(module, draft, given)
        if not apart <= CLOSE:
            raise UserError(
                f"{to} would differ from the network by {apart:.1e}, more than {CLOSE:g}: it is not written"
            )
    return apart


class _Measured(nn.Module):
    """A discriminator's logits and features at once, by operations that ONNX has."""

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.discriminator(images)
        pooled = [_pooled(maps).flatten(1) for maps in self.discriminator.activations(images)]
        return logits, torch.cat(pooled, dim=1)


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


def _apart(module: nn.Module, path: Path, given: Tensor) -> float:
    """The most that an output of the file differs from the module's, on a batch of another size than was traced."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: given.numpy()})
    with torch.no_grad():
        wanted = module(given)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    return max(float(np.abs(one - other.numpy()).max()) for one, other in zip(found, wanted, strict=True))
