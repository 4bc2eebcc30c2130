"""Train the GAN: models/gan/."""

from pathlib import Path

from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.files import write_json
from ganpipe.runtime import choose_device
from ganpipe.settings import load_params
from ganpipe.tracking import MODEL, run_name, track
from ganpipe.training.curves import write_csv
from ganpipe.training.loop import train
from ganpipe.training.params import TrainParams
from ganpipe.training.results import save

OUT = Path("models/gan")


@entry
def main() -> None:
    params = load_params(TrainParams, "train")
    images = Images(Path("data/processed"))
    name = run_name(f"width {params.width}, {params.steps} steps")
    with track("train", inputs={"processed": images.digest}, name=name) as run:
        trained = train(
            params, images, choose_device(), run.tick, lambda step, path: run.picture("samples", path, step)
        )
        checksum = save(trained, params, images, OUT)
        write_csv(Path("plots/train.csv"), trained.curves)
        write_json(Path("metrics/train.json"), trained.curves[-1])
        run.tags({MODEL: checksum})
        run.artefacts(OUT, "gan")


if __name__ == "__main__":
    main()
