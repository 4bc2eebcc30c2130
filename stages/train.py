"""Train the GAN on the corpus, the folder that is the argument, or data/processed: models/gan/."""

import sys
from pathlib import Path

from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.files import write_json
from ganpipe.manifest import verified
from ganpipe.runtime import choose_device, joined, world
from ganpipe.settings import load_params
from ganpipe.tracking import told
from ganpipe.tracking.run import run_name, track
from ganpipe.training.curves import latest, write_csv
from ganpipe.training.loop import train
from ganpipe.training.params import Training
from ganpipe.training.results import save

OUT = Path("models/gan")


@entry
def main() -> None:
    params = load_params(Training, "train")
    images = Images(verified(Path(sys.argv[1] if len(sys.argv) > 1 else "data/processed")))
    name = run_name(f"width {params.width}, {params.steps} steps")
    with joined(device := choose_device()), track("train", {"processed": images.digest}, name) as run:
        trained = train(params, images, device, run.tick, lambda step, path: run.picture("samples", path, step))
        if world()[0] == 0:
            save(trained, params, images, OUT)
            write_csv(Path("plots/train.csv"), trained.curves)
            write_json(Path("metrics/train.json"), latest(trained.curves))
            run.tags({"ganpipe.warnings": "; ".join(trained.warnings) or "none"})
            told.training(run, images)


if __name__ == "__main__":
    main()
