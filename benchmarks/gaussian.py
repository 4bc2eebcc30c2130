"""How near the study `gaussian` comes to its distribution, and how long it takes, for several seeds.

    python benchmarks/gaussian.py [--quick] [--json PATH]

Each seed is a training and an analysis of its own, of the settings in studies/gaussian. `--quick` takes the first seed.
"""

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any

from reporting import arguments, report

from ganpipe.analysis.params import NumbersParams
from ganpipe.analysis.report import analyse
from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.runtime import choose_device
from ganpipe.settings import load_params
from ganpipe.training.loop import train
from ganpipe.training.params import TrainParams
from ganpipe.training.results import save

STUDY = Path(__file__).parents[1] / "studies/gaussian"
SEEDS = range(5)


@entry
def main() -> None:
    """Train, measure, print, write."""
    options = arguments("How near the gaussian study comes")
    params = load_params(TrainParams, "train", STUDY / "params.yaml")
    asked = load_params(NumbersParams, "analyse", STUDY / "params.yaml")
    device, found = choose_device(), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # no training of another run is continued
        download_entry(find("gaussian"), Path("raw"))
        corpus = Images(Path("raw"))
        for seed in SEEDS[:1] if options.quick else SEEDS:
            seeded, start = params.model_copy(update={"seed": seed}), time.perf_counter()
            save(train(seeded, corpus, device), seeded, corpus, Path("gan"))
            figures = analyse(asked, Path("gan"), corpus, Path("none"), device).metrics
            found.append({**figures, "seconds": time.perf_counter() - start})
            print({name: round(float(value), 4) for name, value in found[-1].items()}, flush=True)
    report(
        {
            "seeds": len(found),
            "seconds_at_most": max(each["seconds"] for each in found),
            "mean_off_at_most": max(abs(each["mean"] - each["mean_wanted"]) for each in found),
            "deviation_off_at_most": max(abs(each["deviation"] - each["deviation_wanted"]) for each in found),
            "skewness_at_most": max(abs(each["skewness"]) for each in found),
            "kurtosis_at_most": max(abs(each["kurtosis"]) for each in found),
            "ks_at_most": max(each["ks"] for each in found),
        },
        options.json,
    )


if __name__ == "__main__":
    main()
