"""What each lever of the evaluation is worth, alone and together, for a trained discriminator.

    python benchmarks/levers.py [WEIGHTS] [--no-test] [--quick] [--json PATH]

It wants what `make repro` leaves. Everything is chosen on the validation split; the test set is looked at by the chosen
setting alone, once, at the end, and with `--no-test` not at all. `--quick` takes the first 5,000 training images. For
the layers there is `evaluate.by_layer`.
"""

from pathlib import Path
from typing import Any

import numpy as np
from reporting import parser, report

from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.evaluation.judge import Judge
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.models.store import load_config, load_discriminator
from ganpipe.runtime import choose_device, keep_freed_memory

PAPER: dict[str, Any] = {  # every setting of `evaluate`, whatever params.yaml says
    **{"datasets": ["cifar10"], "path": None, "weights": None, "duplicates": None, "storage": "memory"},
    **{"layers": None, "pooling": "max", "flip": False, "scaling": "none", "layer_weights": None, "average": False},
    **{"C": [1e-4, 3.2e-4], "validation": 0.2, "test": False, "tolerance": 1e-3, "seed": 0},
    **{"labels_per_class": [], "draws": 10, "by_layer": False, "kept": False},
    **{"supervised_trials": 0, "supervised_steps": 3000},
}
OF_LAYERS = "layers", "layer_weights"  # of which one lever at a time is taken
QUICK = 5_000


@entry
def main() -> None:
    """Measure, print, write."""
    made = parser("What each lever is worth")
    made.add_argument("weights", type=Path, nargs="?", default=Path("models/gan"), help="folder of the model")
    made.add_argument("--no-test", action="store_true", help="choose only: leave the test set for another setting")
    options = made.parse_args()
    weights: Path = options.weights
    keep_freed_memory()
    device, config = choose_device(), load_config(weights)
    paper = EvaluateParams.model_validate(PAPER)
    labelled = Images(Path("data/evaluation/cifar10"))
    network = {average: load_discriminator(weights, device, average) for average in averages(config)}
    judge = Judge(paper, labelled, network[False].table.size, config["corpus"]["resize"], device)
    if options.quick:
        shorten(judge, QUICK)

    tried: dict[str, tuple[dict[str, Any], float]] = {}

    def attempt(name: str, changes: dict[str, Any]) -> float:
        judge.params = paper.model_copy(update=changes)
        features = judge.of_network(name, network[judge.params.average])
        tried[name] = changes, judge.choose(name, features["train"]).accuracy
        return tried[name][1]

    # One at a time.
    alone = {
        name: changes
        for name, changes in alone_for(len(network[False].convs)).items()
        if True in network or "average" not in changes
    }
    base = attempt("paper", alone.pop("paper"))
    gains = {name: attempt(name, changes) - base for name, changes in alone.items()}

    # Together: each that gains, the largest gain first, as long as it goes on gaining.
    together, best = dict[str, Any](), base
    for name in sorted(gains, key=lambda name: -gains[name]):
        if gains[name] > 0 and not touched(together) & touched(alone[name]):
            found = attempt(f"together_with_{name}", {**together, **alone[name]}) if together else base + gains[name]
            if found > best:
                together, best = {**together, **alone[name]}, found

    figures = {f"validation_{name}": accuracy for name, (_, accuracy) in tried.items()}
    print(f"chosen: {together}", flush=True)
    if not options.no_test:
        figures |= tested(paper.model_copy(update={**together, "test": True}), weights, labelled, options.quick)
    report(figures, options.json)


def alone_for(count: int) -> dict[str, dict[str, Any]]:
    """The levers, each with the settings that it changes, for a discriminator of `count` convolutions."""
    return {
        "paper": {},
        "flip": {"flip": True},
        "mean": {"pooling": "mean"},
        "max_and_mean": {"pooling": "both"},
        "standardised": {"scaling": "standardised"},
        "signed_root": {"scaling": "signed_root"},
        "average": {"average": True},
        **{  # each layer against the one below it
            f"weights_times_{step:g}": {"layer_weights": [step**number for number in range(1 - count, 1)]}
            for step in (0.5, 0.7, 1.4)
        },
        **{f"layers_{start}_on": {"layers": list(range(start, count + 1))} for start in range(3, count + 1)},
    }


def touched(changes: dict[str, Any]) -> set[str]:
    """What of the features they change."""
    return {"layers" if key in OF_LAYERS else key for key in changes}


def tested(params: EvaluateParams, weights: Path, labelled: Images, quick: bool) -> dict[str, float]:
    """The chosen setting on the test set, fitted to all training images; to the first few if it is to be quick."""
    device = choose_device()
    network = load_discriminator(weights, device, params.average)
    judge = Judge(params, labelled, network.table.size, load_config(weights)["corpus"]["resize"], device)
    if quick:
        shorten(judge, QUICK)
    probe = judge.find("chosen", judge.of_network("chosen", network)).probe
    return {"test_chosen": probe.answers.accuracy, "test_chosen_duality_gap": probe.duality_gap}


def averages(config: dict[str, Any]) -> list[bool]:
    """Whether there are averaged weights beside the others."""
    return [False, True] if "discriminator_average" in config["sha256"] else [False]


def shorten(judge: Judge, count: int) -> None:
    """Keep the first `count` training images, a fifth of them for validation."""
    fifth = count // 5
    rows = np.r_[: count - fifth, judge.fitting : judge.fitting + fifth]
    judge.pixels["train"], judge.labels["train"] = judge.pixels["train"][rows], judge.labels["train"][rows]
    judge.fitting = count - fifth


if __name__ == "__main__":
    main()
