"""From squares to codes, by whichever hash the settings name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
import torch
from PIL import Image

from ganpipe.dedupe import autoencoder, projection, whitened
from ganpipe.dedupe.params import DedupeParams
from ganpipe.dedupe.projection import Projection
from ganpipe.progress import Progress
from ganpipe.runtime import engine, map_batches, threads

PERCEPTUAL = {"phash": imagehash.phash, "dhash": imagehash.dhash, "whash": imagehash.whash}
BATCH = 512  # images that one worker hashes together


class Hash(NamedTuple):
    """`codes` takes uint8 (n, 32, 32, 3) to packed codes, uint8 (n, bits / 8)."""

    codes: Callable[[np.ndarray], np.ndarray]
    figures: dict[str, float]  # of its training


def fit(params: DedupeParams, squares: np.ndarray, device: torch.device, folder: Path) -> Hash:
    """The hash of the settings, trained on the corpus `squares`, uint8 (N, 32, 32, 3), if it is one that learns.

    Such a one is written to `folder`, as encoder.safetensors.
    """
    if params.method in PERCEPTUAL:
        return Hash(partial(perceptual, params.method), {})
    figures = {}
    if params.method == "whitened":
        learned = whitened.fit(params.code_bits, params.seed, len(squares), lambda indices: squares[indices])
    else:
        model, error = autoencoder.fit(params, len(squares), lambda indices: squares[indices], device)
        learned, figures = model.projection(), {"reconstruction_error": error}
    projection.save(folder / "encoder.safetensors", learned)
    return Hash(partial(projected, learned), figures)


def projected(learned: Projection, squares: np.ndarray) -> np.ndarray:
    """Codes by a hash that was learned, uint8 (n, bits / 8): on the CPUs of a cluster with GANPIPE_ENGINE=ray."""
    if engine() != "ray" or learned.weight.device.type != "cpu":
        return learned.codes(squares)
    size = projection.BLOCK
    starts = range(0, len(squares), size)
    blocks = (np.array(squares[start : start + size]) for start in starts)  # of a memory map only what is sent
    found = np.empty((len(squares), learned.weight.shape[1] // 8), np.uint8)
    with Progress("hashing", len(squares), "images", silent=len(squares) <= size) as progress:
        for start, codes in zip(starts, map_batches(partial(_projected, learned), blocks, len(starts)), strict=True):
            found[start : start + size] = codes
            progress.advance(len(codes))
    return found


def _projected(learned: Projection, squares: np.ndarray) -> np.ndarray:
    with threads(1):
        return learned.codes(np.array(squares))  # what comes to a machine is read-only


def perceptual(method: str, squares: np.ndarray) -> np.ndarray:
    """Codes by imagehash, uint8 (n, 8), in a process pool."""
    parts = [squares[start : start + BATCH] for start in range(0, len(squares), BATCH)]
    found = []
    with Progress(f"hashing with {method}", len(squares), "images", silent=len(squares) <= BATCH) as progress:
        for codes in map_batches(partial(_perceptual, method), parts, len(parts)):
            found.append(codes)
            progress.advance(len(codes))
    return np.concatenate(found)


def _perceptual(method: str, squares: np.ndarray) -> np.ndarray:
    return np.stack([np.packbits(PERCEPTUAL[method](Image.fromarray(square)).hash) for square in squares])
