"""A small classifier whose features distances can be measured on, where the Inception network cannot be had.

It is the discriminator's own network, trained on the labels of one set. What it is saved as is a discriminator whose
last map, from which it told the classes, remains; the answers themselves are nobody's business here.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation.random_search import Setting
from ganpipe.evaluation.supervised import Classifier, Diverged, fit, predict
from ganpipe.models.dcgan import ARCHITECTURES, Discriminator
from ganpipe.models.store import CLASSIFIER, save_gan
from ganpipe.progress import Progress
from ganpipe.runtime import choose_precision, keep_freed_memory

# Plain values that train every table without a search; mirror images are left out, they would be wrong for digits.
SETTING = Setting(2e-3, 0.9, 128, 5e-4, dropout=0.25, flip=False, shift=2, length=1.0)


class Trained(NamedTuple):
    """The network, statistics frozen, and its accuracy on the test images (None without such a split) in [0, 1]."""

    network: Classifier
    accuracy: float | None


def train(images: Images, width: int, steps: int, seed: int, device: torch.device) -> Trained:
    """Train on the labels of the split "train", or of all images. UserError where no network takes them or it diverges.

    `images` are of the pixel container, of the side of one of the tables in `models/dcgan.py`.
    """
    keep_freed_memory()
    if images.manifest["container"] != "pixels":
        raise UserError(f"{images.folder} holds images of any size: a classifier is trained on pixels")
    side = images.manifest["shape"][1]
    tables = {table.size: name for name, table in reversed(ARCHITECTURES.items())}
    if side not in tables:
        raise UserError(
            f"{images.folder} holds images of {side}x{side}; there are networks for {sorted(tables)} pixels a side"
        )
    classes, codes = np.unique(images.labels("train"), return_inverse=True)
    if len(classes) < 2:
        raise UserError(f"{images.folder} holds one class, from which nothing is learned")
    config = {"width": width, "architecture": tables[side], "normalisation": "batch", "rotation": False}
    precision = choose_precision("auto", device)
    pixels, truth = torch.from_numpy(images.pixels(images.rows("train"))).to(device), torch.from_numpy(codes).to(device)
    try:
        with Progress("classifier", steps * SETTING.batch_size, "images") as progress:
            network = fit(
                config, len(classes), precision, pixels, truth, np.arange(len(codes)), SETTING, steps, (seed,), progress
            )
        if "test" not in images.splits:
            return Trained(network, None)
        predicted = predict(network, precision, images.pixels(images.rows("test")), device)
    except Diverged:
        raise UserError("the classifier diverged: try another --seed, or fewer --steps") from None
    return Trained(network, float((classes[predicted] == images.labels("test")).mean()))


def save(folder: Path, trained: Trained, images: Images, steps: int, seed: int) -> str:
    """Write it as the model that `ganpipe distances --network` takes; its checksum."""
    bare = Discriminator(**trained.network.config)
    state = trained.network.state_dict()
    bare.load_state_dict({**state, "head.weight": torch.zeros_like(bare.head.weight)}, strict=False)
    about = {
        "network": CLASSIFIER,
        "of": {"name": images.manifest.get("name"), "digest": images.digest},
        "classifier": {"accuracy": trained.accuracy, "steps": steps, "seed": seed, **SETTING._asdict()},
    }
    return save_gan(folder, {"discriminator": bare}, about)["discriminator"]
