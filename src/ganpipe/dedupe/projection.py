"""A hash that is a linear map and a threshold: what both autoencoders are once they are trained."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ganpipe import files
from ganpipe.errors import UserError
from ganpipe.progress import Progress

SIZE, RESIZE = 32, "antialias"  # of the squares that are hashed: a smaller copy has the same
PIXELS = 3 * SIZE * SIZE
BLOCK = 2048  # images hashed at a time


class Projection(NamedTuple):
    """Bits of images, pixels in 0..255: a bit is set where `pixels @ weight + bias` is above 0."""

    weight: Tensor  # float32 (3072, bits)
    bias: Tensor  # float32 (bits,)

    @torch.no_grad()
    def codes(self, squares: np.ndarray) -> np.ndarray:
        """uint8 (n, 32, 32, 3) to packed codes, uint8 (n, bits / 8)."""
        found = np.empty((len(squares), self.weight.shape[1] // 8), np.uint8)
        with Progress("hashing", len(squares), "images", silent=len(squares) <= BLOCK) as progress:
            for start in range(0, len(squares), BLOCK):
                pixels = torch.from_numpy(np.ascontiguousarray(squares[start : start + BLOCK])).to(self.weight.device)
                active = torch.addmm(self.bias, pixels.flatten(1).float(), self.weight) > 0
                found[start : start + BLOCK] = np.packbits(active.cpu().numpy(), axis=1)
                progress.advance(len(pixels))
        return found


def save(path: Path, projection: Projection) -> None:
    """As safetensors."""
    state = {name: tensor.cpu().contiguous() for name, tensor in projection._asdict().items()}
    with files.atomic(path) as draft:
        draft.write_bytes(safetensors.torch.save(state))


def load(path: Path) -> Projection:
    """What `save` wrote; a UserError where it is missing or is no such file."""
    try:
        state = safetensors.torch.load_file(path)
        projection = Projection(state["weight"], state["bias"])
    except FileNotFoundError:
        raise UserError(f"{path} is missing: it holds the hash that an index was made with") from None
    except (SafetensorError, KeyError) as error:
        raise UserError(f"{path} does not hold a hash: {error}") from None
    if projection.weight.ndim != 2 or projection.weight.shape != (PIXELS, len(projection.bias)):
        raise UserError(f"{path} does not hold a hash of {SIZE}x{SIZE} images")
    return projection
