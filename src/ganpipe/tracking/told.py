"""What each stage tells of itself, read from the files that it wrote: at once, or when they are brought in later."""

import csv
import json
from pathlib import Path
from typing import Any

from ganpipe.corpus.shards import Images
from ganpipe.tracking import notes
from ganpipe.tracking.run import Run
from ganpipe.tracking.store import MODEL

GRAPH = (Path("params.yaml"), Path("dvc.yaml"), Path("dvc.lock"))
METRICS, PLOTS, ANALYSED = Path("metrics"), Path("plots"), Path("plots/analyse")
RAW, EVALUATION, DEDUPED = Path("data/raw"), Path("data/evaluation"), Path("data/deduped")
PROCESSED, GAN = Path("data/processed"), Path("models/gan")
BY_STEP = "accuracy_validation_by_step"  # the curve of a set, by step of the training that is measured
SETTINGS = ("seed", "seed_of_training")  # beside the figures of an evaluation; a run has its settings elsewhere


def corpus(name: str) -> Path:
    """What was trained on: what preprocess made, or in a study without that stage what was downloaded."""
    return PROCESSED if PROCESSED.exists() else RAW / name


def data(run: Run, stage: str, out: Path) -> None:
    """Of `download` and `preprocess`: their counts, and by which checksum their readers know what they made."""
    run.metrics(figures := _figures(METRICS / f"{stage}.json"))
    run.describe(notes.of_data(stage, figures))
    run.made(Images(out).digest)


def dedupe(run: Run) -> None:
    """Of `dedupe`: its counts, pictures and the review page."""
    run.metrics(figures := _figures(METRICS / "dedupe.json"))
    if figures.get("kept") is not None:
        run.describe(notes.of_data("dedupe", figures))
    for name, picture in (("duplicates", "groups.png"), ("calibration", "calibration.png")):
        if (DEDUPED / picture).exists():
            run.picture(name, DEDUPED / picture)
    run.artefact(DEDUPED, "deduped")


def curves_and_samples(run: Run) -> None:
    """Of a training that nobody watched, as it would have told them on its way: by step."""
    with (PLOTS / "train.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            run.tick({name: float(value) for name, value in row.items() if value})
    for picture in sorted((GAN / "samples").glob("step-*.png")):
        run.picture("samples", picture, int(picture.stem.removeprefix("step-")))


def training(run: Run, images: Images) -> None:
    """Of `train`: what it read and made."""
    run.reads("training", images)
    run.tags({MODEL: _figures(GAN / "config.json")["sha256"]["discriminator"]})
    run.artefact(GAN, "gan")
    for path in filter(Path.exists, GRAPH):
        run.artefact(path, "graph")
    run.model(GAN)


def evaluation(run: Run, name: str, labelled: Images) -> None:
    """Of `evaluate` on one set: figures, also by class and by step, and pictures."""
    run.reads("evaluation", labelled)
    figures, folder = _figures(METRICS / "evaluate" / f"{name}.json"), PLOTS / "evaluate" / name
    measured = {name: value for name, value in figures.items() if name not in SETTINGS}
    kind = "class" if "accuracy" in figures else "class_validation"
    by_class = {f"{kind}/{of}": share for of, share in figures.get(kind, {}).items()}
    # Figures without a test set do not mix with those of another setting that had one.
    run.metrics({**measured, **by_class}, f"{name}/", None if "accuracy" in figures else f"{name}/accuracy")
    steps = {int(row["step"]): float(row["accuracy_validation"]) for row in _rows(folder / "steps.csv")}
    if len(steps) > 1:
        run.curve(f"{name}/{BY_STEP}", steps)
    run.artefact(folder, name)
    run.measured(name, figures)


def analysis(run: Run) -> None:
    """Of `analyse`: its figures, pictures, and the walks' film."""
    run.metrics(_figures(METRICS / "analyse.json"), "analyse/")
    run.artefact(ANALYSED, "analyse")
    pictures = sorted(path.name for path in ANALYSED.iterdir() if path.suffix in (".png", ".gif"))
    run.describe("Pictures: " + ", ".join(f"`analyse/{name}`" for name in pictures))


def _figures(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
