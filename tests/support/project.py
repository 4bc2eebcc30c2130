"""A copy of the project in a temporary folder, under git and DVC, with settings that take seconds."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import yaml

from support.graph import ROOT

COPIED = [
    "params.yaml",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "stages",
    "studies",
    "src",
    ".dvc/config",
    ".dvc/.gitignore",
]
TINY: dict[str, dict[str, Any]] = {
    "download": {"name": "digits"},
    "dedupe": {"planted": 100},
    "train": {"width": 4, "steps": 30, "batch_size": 32, "tick": 10, "sample_every": 20},
    "evaluate": {"datasets": ["digits"], "C": [0.001, 0.01]},
    "analyse": {"walks": 2, "stops": 3, "samples": 50, "filters": 1},
}
# What only has to run, and not to learn.
QUICK: dict[str, dict[str, Any]] = {
    "dedupe": {"method": "none", "radius": 0, "planted": 0},
    "train": {"steps": 10},
    "evaluate": {"C": [0.001], "tolerance": 0.5, "layers": [5, 6]},
}
ALL = ["download", "evaluation_sets", "dedupe", "preprocess", "train", "evaluate@digits", "analyse"]


RANK = {"download": 0, "evaluation_sets": 0, "dedupe": 1, "preprocess": 2, "train": 3, "evaluate": 4, "analyse": 4}


def executed(out: str) -> list[str]:
    """The stages that ran, none before one that it follows from; among others, where DVC is free, in ALL's order."""
    order = [name.partition("@")[0] for name in ALL]
    ran = [line.split("'")[1] for line in out.splitlines() if line.startswith("Running stage")]
    ranks = [RANK[name.partition("@")[0]] for name in ran]
    assert ranks == sorted(ranks), ran
    return sorted(ran, key=lambda name: (order.index(name.partition("@")[0]), name))


class Project:
    """A copy of the project under git and DVC, and what can be done with it."""

    store: str | None = None  # instead of the project's own mlflow.db

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(ROOT / name, place)
        for section, values in TINY.items():
            self.set(section, **values)
        self.run("git", "init", "-q")
        self.run("git", "config", "user.name", "Test")
        self.run("git", "config", "user.email", "test@example.invalid")
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "start")

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "GANPIPE_", "DVC_"))}
        store = {} if self.store is None else {"MLFLOW_TRACKING_URI": self.store}
        return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **store}

    def run(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def set(self, section: str, **values: Any) -> None:
        path = self.folder / "params.yaml"
        content = yaml.safe_load(path.read_text())
        content[section].update(values)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def repro(self, code: int = 0) -> tuple[list[str], str]:
        """The stages that ran, in order, and what was printed."""
        out = self.run("dvc", "repro", code=code)
        return executed(out), out

    def json(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / name).read_text())
        return content

    def locked(self, stage: str) -> dict[str, str]:
        """Checksums of a stage's outputs."""
        outs = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"][stage]["outs"]
        return {out["path"]: out["md5"] for out in outs}

    def mlflow_runs(self, stage: str) -> list[Any]:
        client = self.client()
        experiment = client.get_experiment_by_name("ganpipe")
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id], f"tags.`ganpipe.stage` = '{stage}'")
        return sorted(found, key=lambda run: run.info.start_time)

    def client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(self.store or f"sqlite:///{self.folder / 'mlflow.db'}")
