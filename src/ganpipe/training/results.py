"""What a training leaves behind: networks, how they were made, and sample grids, in one folder."""

import shutil
from pathlib import Path

from ganpipe import files
from ganpipe.corpus.shards import Images
from ganpipe.models.dcgan import Discriminator
from ganpipe.models.store import KEPT, save_gan
from ganpipe.training import kept
from ganpipe.training.loop import Trained
from ganpipe.training.params import TrainParams


def save(trained: Trained, params: TrainParams, images: Images, out: Path) -> str:
    """Fill `out`; the checksum of the discriminator's weights."""
    with files.atomic_folder(out) as draft:
        (draft / "samples").mkdir()
        for step, picture in trained.samples.items():
            shutil.copyfile(picture, draft / "samples" / f"step-{step:09}.png")
        shutil.copyfile(trained.samples[params.steps], draft / "samples.png")
        corpus = {**images.manifest["corpus"], "images": len(images), "resize": images.manifest["resize"]}
        about = {"train": params.model_dump(), "precision": trained.precision, "corpus": corpus}
        networks = {
            "generator": trained.generator,
            "discriminator": trained.discriminator,
            "generator_average": trained.generator_average,
            "discriminator_average": trained.discriminator_average,
        }
        held = {name: network for name, network in networks.items() if network is not None}
        judges = {name: network for name, network in held.items() if isinstance(network, Discriminator)}
        for step, path in trained.kept.items():  # one at a time: there may be many
            save_gan(draft / KEPT / f"step-{step:09}", kept.frozen(path, judges), {**about, "step": step})
        return save_gan(draft, held, about)["discriminator"]
