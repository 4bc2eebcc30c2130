"""`ganpipe import-theano`: the DCGAN authors' released arrays as a discriminator that the stage evaluate measures."""

from pathlib import Path

import numpy as np
import torch

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models import theano
from ganpipe.models.dcgan import ARCHITECTURES, Discriminator
from ganpipe.models.pixels import freeze_on
from ganpipe.models.store import refuse_generator, save_gan


def import_discriminator(
    folder: Path,
    out: Path,
    images: str,
    device: torch.device,
    architecture: str | None = None,
    layers: int | None = None,
) -> Discriminator:
    """The discriminator of the arrays in `folder`, saved in `out`, with the statistics of `images` on the device.

    `images` is a corpus, with `:split` behind it for a part; of `layers` only so many of the first convolutions are
    taken. UserError where there is no such network or split, or the images are of another size.
    """
    if architecture is not None and architecture not in ARCHITECTURES:
        raise UserError(f"there is no network {architecture}, choose from {', '.join(ARCHITECTURES)}")
    if layers is not None and layers < 1:
        raise UserError(f"--layers is {layers}: it is a number from 1")
    refuse_generator(out)
    network = theano.load_discriminator(folder, architecture, layers)
    name, _, split = images.partition(":")
    corpus, size = Images(Path(name)), network.table.size
    if split and split not in corpus.splits:
        raise UserError(f"{name} has no split {split!r}")
    rows = corpus.rows(split) if split else np.arange(len(corpus))
    if corpus.manifest["shape"][1:] != [size, size, 3]:
        raise UserError(f"{images} holds images of another size than the {size}x{size} that it takes")
    freeze_on(network.to(device), len(rows), lambda chosen: corpus.pixels(rows[chosen]), device)
    about = {"name": f"of {folder.name}", "images": None, "resize": corpus.manifest.get("resize", "bilinear")}
    save_gan(out, {"discriminator": network}, {"corpus": about})
    return network
