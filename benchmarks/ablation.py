"""What each lever of the training is worth to the features, alone and at a small scale, on CIFAR-10's validation split.

    python benchmarks/ablation.py [--width 32] [--steps 1562] [--seeds 3] [--jobs 2] [--only NAME ...] [--json PATH]

It wants what `dvc --cd studies/imagenet32 repro preprocess evaluation_sets` leaves. Each training has the settings of
that study but for its lever, and a process of its own. What is finished is kept in .ckpt/ablation: the command goes on
where it was stopped. `paper` is trained with `--seeds` seeds, which tells how far apart two trainings lie by chance,
the levers with `--lever-seeds`. The test set is never looked at. The probe's own levers: benchmarks/levers.py.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from reporting import machine, parser, report

from ganpipe import files
from ganpipe.errors import UserError, entry

STUDY = Path("studies/imagenet32")
BASE = "paper"
LEVERS: dict[str, dict[str, Any]] = {
    BASE: {},
    "hinge, spectral normalisation": {"objective": "hinge", "normalisation": "spectral"},
    "relativistic, R1 and R2": {"objective": "relativistic", "normalisation": "none", "r1": 0.05, "r2": 0.05},
    "DiffAugment": {"augment": "diffaugment"},
    "rotation head": {"rotation": 1.0},
    "rotation head, a quarter": {"rotation": 0.25},
    "rotation head, DiffAugment": {"rotation": 1.0, "augment": "diffaugment"},
    "label smoothing": {"label_smoothing": 0.1},
    "both networks at each batch": {"updates": "simultaneous"},
    "D's learning rate doubled": {"discriminator_learning_rate": 4e-4},
    "normal noise": {"noise": "normal"},
    "half the batch, twice the steps": {"batch_size": 64, "steps_times": 2},
    "half the batch, twice the steps, rate 5e-4": {"batch_size": 64, "steps_times": 2, "learning_rate": 5e-4},
    "half the batch, twice the steps, rate 5e-4, rotation head": {
        **{"batch_size": 64, "steps_times": 2, "learning_rate": 5e-4, "rotation": 1.0},
    },
    "learning rate 5e-4": {"learning_rate": 5e-4},
    "twice the steps": {"steps_times": 2},
    "twice the width": {"width_times": 2},
}
PROBES: dict[str, dict[str, Any]] = {  # what differs from the study's settings of `evaluate`
    "paper's probe": {},
    "flip, standardised": {"flip": True, "scaling": "standardised"},
    "averaged weights": {"average": True},
}
EACH = list(PROBES)[:2]  # of every training; the last of the paper's alone


@entry
def main() -> None:
    """Train and probe what is not yet, then print."""
    asked = arguments()
    if asked.one:
        print(json.dumps(train_and_probe(**json.loads(asked.one))))
        return
    for name in asked.only or []:
        if name not in LEVERS:
            raise UserError(f"there is no lever {name!r}, choose from: {'; '.join(LEVERS)}")
    tasks = [
        (name, seed)
        for name in dict.fromkeys([BASE, *(asked.only or LEVERS)])
        for seed in range(asked.seeds if name == BASE else asked.lever_seeds)
    ]
    measuring = evaluation()
    whats = [
        {
            "settings": settings_of(name, seed, asked),
            "probes": {probe: levers for probe, levers in PROBES.items() if name == BASE or probe in EACH},
            **measuring,
        }
        for name, seed in tasks
    ]
    with ThreadPoolExecutor(asked.jobs) as pool:
        results = pool.map(lambda what: measured(what, asked.jobs), whats)
        found = dict(zip(tasks, results, strict=True))
    print(f"\n{table(found)}\n\n{machine()}")
    flat = {f"{name}, seed {seed}, {key}": value for (name, seed), each in found.items() for key, value in each.items()}
    report(flat, asked.json)


def arguments() -> argparse.Namespace:
    """Those of every benchmark, and how much is trained."""
    made = parser("What each lever of the training is worth, at a small scale")
    made.add_argument("--width", type=int, default=32, help="of both networks; 128 in the paper")
    made.add_argument("--steps", type=int, default=1562, help="of 128 images: 781 are an epoch of imagenet32")
    made.add_argument("--seeds", type=int, default=3, help="of the paper's setting")
    made.add_argument("--lever-seeds", type=int, default=1, help="of each lever")
    made.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="trainings side by side")
    made.add_argument("--only", nargs="+", metavar="LEVER", help="some of the levers, and the paper's setting")
    made.add_argument("--one", help=argparse.SUPPRESS)  # a training's settings, in a process of its own
    asked = made.parse_args()
    if asked.quick:
        asked.width, asked.steps, asked.seeds, asked.only = 8, 20, 1, asked.only or ["DiffAugment"]
    return asked


def settings_of(name: str, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """The study's settings of `train`, with the lever's."""
    train: dict[str, Any] = yaml.safe_load((STUDY / "params.yaml").read_text())["train"]
    changes = dict(LEVERS[name])
    small = {
        "width": asked.width * changes.pop("width_times", 1),
        "steps": asked.steps * changes.pop("steps_times", 1),
        "average": 0.999,
        "seed": seed,
    }
    return {**train, **small, **changes, "sample_every": small["steps"], "keep_every": 0}


def evaluation() -> dict[str, Any]:
    """What the figures depend on beside the training's settings and the probes: a change of it is another result."""
    from ganpipe.corpus.shards import Images
    from ganpipe.evaluation.params import EvaluateParams
    from ganpipe.settings import load_params

    study = load_params(EvaluateParams, "evaluate", STUDY / "params.yaml").model_copy(update={"test": False})
    return {
        "evaluate": study.model_dump(),
        "corpus": Images(STUDY / "data/processed").digest,
        "labelled": Images(STUDY / "data/evaluation/cifar10").digest,
    }


def measured(what: dict[str, Any], jobs: int) -> dict[str, float]:
    """The accuracies on validation by probe, and the seconds of the training; from the file of an earlier run."""
    kept = files.work_folder() / "ablation" / f"{files.digest(what)}.json"
    if not kept.exists():
        alone = {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // jobs))}
        done = subprocess.run(
            [sys.executable, __file__, "--one", json.dumps(what)],
            env={**os.environ, **alone},
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise UserError(f"a training failed, see above; it was {what}")
        files.write_json(kept, json.loads(done.stdout.splitlines()[-1]))
    found: dict[str, float] = json.loads(kept.read_text())
    return found


def train_and_probe(
    settings: dict[str, Any], probes: dict[str, dict[str, Any]], evaluate: dict[str, Any], **_: str
) -> dict[str, float]:
    """One training, and its discriminator on the validation split."""
    from ganpipe.corpus.shards import Images
    from ganpipe.evaluation.judge import Judge
    from ganpipe.evaluation.params import EvaluateParams
    from ganpipe.models.dcgan import Discriminator
    from ganpipe.models.networks import AVERAGE, DISCRIMINATOR
    from ganpipe.runtime import choose_device, keep_freed_memory
    from ganpipe.training.loop import train
    from ganpipe.training.params import Training

    keep_freed_memory()
    device, corpus, started = choose_device(), Images(STUDY / "data/processed"), time.perf_counter()
    trained = train(Training.variant(settings).model_validate(settings), corpus, device)
    found = {"seconds": time.perf_counter() - started}
    study = EvaluateParams.model_validate(evaluate)
    judge = Judge(study, Images(STUDY / "data/evaluation/cifar10"), 32, corpus.manifest["resize"], device)
    for name, levers in probes.items():
        judge.params = study.model_copy(update=levers)
        network = trained.networks[DISCRIMINATOR + (AVERAGE if judge.params.average else "")].eval()
        assert isinstance(network, Discriminator)  # noqa: S101 (of images, there is no other)
        found[name] = judge.choose(name, judge.of_network(name, network)["train"]).accuracy
    return found


def table(found: dict[tuple[str, int], dict[str, float]]) -> str:
    """In Markdown, per cent: each lever's mean over its seeds, and how far that is from the paper's setting."""
    rows = [["training", "seeds", *PROBES, "seconds"], ["---"] * (3 + len(PROBES))]
    base = {
        probe: [each[probe] for (name, _), each in found.items() if name == BASE and probe in each] for probe in PROBES
    }
    for lever in dict.fromkeys(name for name, _ in found):
        of_it = [each for (name, _), each in found.items() if name == lever]
        cells = []
        for probe in PROBES:
            accuracies = [100 * each[probe] for each in of_it if probe in each]
            if not accuracies:
                cells.append("")
                continue
            mean = statistics.mean(accuracies)
            away = mean - 100 * statistics.mean(base[probe])
            spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
            cells.append(f"{mean:.2f}{spread}" + ("" if lever == BASE else f" ({away:+.2f})"))
        seconds = statistics.mean(each["seconds"] for each in of_it)
        rows.append([lever, str(len(of_it)), *cells, f"{seconds:.0f}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
