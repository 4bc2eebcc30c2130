"""Trainings to compare: in memory, and as the files of a project's folder."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from ganpipe.compare.compared import Compared, Sample
from ganpipe.intervals import wilson

SETTINGS: dict[str, dict[str, Any]] = {
    "download": {"name": "digits", "path": None},
    "dedupe": {"method": "whitened", "radius": "auto"},
    "preprocess": {"side": 32},
    "train": {"width": 4, "steps": 30, "augment": "none"},
    "evaluate": {"datasets": ["digits"], "weights": None, "pooling": "max", "validation": 0.2},
}


def png(colour: str, side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()


def sample(content: bytes) -> Sample:
    return Sample(len(content), lambda: content)


def accuracies(share: float, images: int = 1000, **others: float) -> dict[str, float]:
    """A set's figures as an evaluation writes them."""
    low, high = wilson(share, images)
    about = {"train_images": 5000.0, "test_images": float(images)}
    return {"accuracy": share, "accuracy_low": low, "accuracy_high": high, **about, **others}


def training(name: str = "one", **what: Any) -> Compared:
    """One with nothing but what is given."""
    empty: dict[str, Any] = {
        **{key: {} for key in ("parameters", "evaluations", "data", "figures", "curves", "samples", "load")},
        **dict.fromkeys(("began", "commit", "status"), ""),
    }
    fields = {"key": name, "name": name, "place": "run 12345678", "took": None, "remarks": [], **empty, **what}
    return Compared(**fields)


def write_folder(folder: Path, accuracy: float = 0.9, **changed: Any) -> dict[str, Any]:
    """The files of a training of digits, and the dvc.lock that names them; what that holds.

    `changed` are settings, by `section__name`.
    """
    sections = {name: dict(values) for name, values in SETTINGS.items()}
    for name, value in changed.items():
        section, _, key = name.partition("__")
        sections[section][key] = value
    contents = {
        "metrics/download.json": json.dumps({"images": 1797, "rejected": 0}),
        "metrics/dedupe.json": json.dumps({"images": 1437, "kept": 1168}),
        "metrics/preprocess.json": json.dumps({"images": 1168, "side": 32}),
        "metrics/train.json": json.dumps({"step": 30, "loss_d": 0.6, "loss_g": 1.2}),
        "plots/train.csv": "step,loss_d,loss_g,loss_rotation\n10,1.2,0.7,\n20,0.8,,\n30,0.6,1.2,\n",
        "metrics/evaluate/digits.json": json.dumps(
            {**accuracies(accuracy, 360), "trained_on_this_set": True, "seed": 0, "seed_of_training": 0}
        ),
        "plots/evaluate/digits/classes.csv": "class,accuracy,low,high\n0,0.97,0.85,0.99\n1,1.0,0.9,1.0\n",
        "plots/evaluate/digits/steps.csv": "step,accuracy_validation\n15,0.8\n30,0.9\n",
    }
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    samples = folder / "models/gan/samples"
    samples.mkdir(parents=True)
    for step, colour in ((0, "grey"), (20, "red"), (30, "blue")):
        (samples / f"step-{step:09}.png").write_bytes(png(colour))
    (folder / "models/gan/config.json").write_text(json.dumps({"train": sections["train"]}))
    outs = {
        "download": ["data/raw/digits", "metrics/download.json"],
        "dedupe": ["data/deduped", "metrics/dedupe.json"],
        "preprocess": ["data/processed", "metrics/preprocess.json"],
        "train": ["models/gan", "metrics/train.json", "plots/train.csv"],
        "evaluate@digits": [path for path in contents if "/evaluate/" in path],
    }
    deps = {
        "dedupe": ["data/raw/digits"],
        "preprocess": ["data/deduped"],
        "train": ["data/processed"],
        "evaluate@digits": ["models/gan"],
    }
    lock: dict[str, Any] = {"schema": "2.0", "stages": {}}
    for stage, paths in outs.items():
        section = stage.partition("@")[0]
        lock["stages"][stage] = {
            "cmd": "true",
            "deps": [{"path": path, "md5": _md5(path, contents)} for path in deps.get(stage, [])],
            "params": {"params.yaml": {section: sections[section]}},
            "outs": [{"path": path, "md5": _md5(path, contents)} for path in paths],
        }
    write_lock(folder, lock)
    return lock


def write_lock(folder: Path, lock: dict[str, Any]) -> None:
    (folder / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))


def _md5(path: str, contents: dict[str, str]) -> str:
    return hashlib.md5(contents.get(path, path).encode(), usedforsecurity=False).hexdigest()
