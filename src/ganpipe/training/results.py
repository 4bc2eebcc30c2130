"""What a training leaves behind: networks, how they were made, and sample grids, in one folder."""

import shutil
from pathlib import Path

from ganpipe import files
from ganpipe.corpus.shards import Images
from ganpipe.models.store import KEPT, save_gan
from ganpipe.training import kept
from ganpipe.training.loop import Trained
from ganpipe.training.params import Training


def save(trained: Trained, params: Training, images: Images, out: Path) -> None:
    """Put them into the folder `out`, in the place of what was there."""
    with files.atomic_folder(out) as draft:
        (draft / "samples").mkdir()
        for step, picture in trained.samples.items():
            shutil.copyfile(picture, draft / "samples" / f"step-{step:09}.png")
        shutil.copyfile(trained.samples[params.steps], draft / "samples.png")
        manifest = images.manifest
        origin = manifest.get("corpus") or {key: manifest[key] for key in ("name", "title", "licence")}
        held = {"images": len(images.rows("train")), "resize": manifest.get("resize"), "processed": images.digest}
        corpus = {**origin, **held}
        about = {"train": params.model_dump(), "precision": trained.precision, "corpus": corpus}
        for step, path in trained.kept.items():  # one at a time: there may be many
            save_gan(draft / KEPT / f"step-{step:09}", kept.frozen(path, trained.networks), {**about, "step": step})
        save_gan(draft, trained.networks, about)
