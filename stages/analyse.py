"""Look at what the GAN has learned, and whether by heart: plots/analyse/, metrics/analyse.json.

It was trained on the corpus that is the first argument, or data/processed, made of the raw one that is the second.
"""

import sys
from pathlib import Path

from ganpipe.analysis.params import Analysing
from ganpipe.analysis.report import analyse
from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.files import write_json
from ganpipe.manifest import verified
from ganpipe.models.store import load_config
from ganpipe.runtime import choose_device
from ganpipe.settings import load_params
from ganpipe.tracking import told
from ganpipe.tracking.run import track

WEIGHTS = Path("models/gan")


@entry
def main() -> None:
    params = load_params(Analysing, "analyse")
    corpus = Images(verified(Path(sys.argv[1] if len(sys.argv) > 1 else "data/processed")))
    raw = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    checksums = load_config(WEIGHTS)["sha256"]
    inputs = {"processed": corpus.digest, "weights": checksums["generator"]}
    with track("analyse", inputs, parent_of=checksums["discriminator"]) as run:
        found = analyse(params, WEIGHTS, corpus, Path("data/evaluation"), choose_device(), raw)
        write_json(Path("metrics/analyse.json"), found.metrics)
        found.save(Path("plots/analyse"))
        told.analysis(run)


if __name__ == "__main__":
    main()
