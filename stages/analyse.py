"""Look at what the GAN has learned, and whether by heart: plots/analyse/, metrics/analyse.json."""

from pathlib import Path

from ganpipe.analysis.params import AnalyseParams
from ganpipe.analysis.report import analyse, held_out, save
from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.files import write_json
from ganpipe.models.store import load_config
from ganpipe.runtime import choose_device
from ganpipe.settings import load_params
from ganpipe.tracking import told
from ganpipe.tracking.run import track

WEIGHTS = Path("models/gan")


@entry
def main() -> None:
    params = load_params(AnalyseParams, "analyse")
    corpus, tests = Images(Path("data/processed")), held_out(params.held_out, Path("data/evaluation"))
    checksums = load_config(WEIGHTS)["sha256"]
    inputs = {"processed": corpus.digest, "weights": checksums["generator"]}
    with track("analyse", inputs, parent_of=checksums["discriminator"]) as run:
        found = analyse(params, WEIGHTS, corpus, tests, choose_device())
        write_json(Path("metrics/analyse.json"), found.metrics)
        save(found, Path("plots/analyse"))
        told.analysis(run)


if __name__ == "__main__":
    main()
