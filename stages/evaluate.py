"""Measure the discriminator on the labelled set that is the argument: metrics/evaluate/<name>.json."""

import sys
from pathlib import Path

from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.pictures import save_pictures
from ganpipe.evaluation.report import evaluate
from ganpipe.files import write_json
from ganpipe.manifest import verified
from ganpipe.models.store import load_config
from ganpipe.runtime import choose_device, joined, world
from ganpipe.settings import load_params
from ganpipe.tracking import told
from ganpipe.tracking.run import track


@entry
def main() -> None:
    name = sys.argv[1]
    params = load_params(EvaluateParams, "evaluate")
    weights, plots = Path(params.weights or "models/gan"), Path("plots/evaluate") / name
    corpus, labelled = (Images(verified(Path("data") / made)) for made in ("processed", f"evaluation/{name}"))
    config = load_config(weights)
    checksum = config["sha256"]["discriminator"]
    measured = config["sha256"]["discriminator_average" if params.average else "discriminator"]
    inputs = {"evaluation": labelled.digest, "weights": measured}
    tracked = track("evaluate", inputs, name=f"evaluate@{name}", parent_of=checksum)
    with joined(device := choose_device()), tracked as run:
        evaluation = evaluate(params, weights, corpus, labelled, device)
        if world()[0] == 0:
            write_json(Path("metrics/evaluate") / f"{name}.json", evaluation.metrics)
            save_pictures(evaluation, plots)
            told.evaluation(run, name, labelled)


if __name__ == "__main__":
    main()
