"""The project made small, run once undisturbed, and put back as it then was before each round."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from PIL import Image

from support.project import ALL, QUICK, Project

IMAGES = 300  # of the corpus: an archive of real digits
STEPS, EARLIER, TICK = 30, 20, 10  # of the training, which is made in two goes, so that it has two checkpoints
LONGEST = 300  # seconds of one command
TRACED = "Traceback (most recent call last)"
POINT = "train/loss_d"
HUNG = 124  # as the command `timeout` says it
EXITED = re.compile(
    r"failed to run: .*, exited with (?!137)\d+$"
)  # what DVC says of a stage that says nothing; not of SIGKILL


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    said: str
    seconds: float

    @property
    def sentence(self) -> str:
        """What it says went wrong: of ours, else of DVC's, unless that is no more than that a stage failed."""
        lines = self.said.replace("\r", "\n").splitlines()
        ours = [line for line in lines if line.startswith("error: ")]
        theirs = [line for line in lines if line.startswith("ERROR: ") and not EXITED.search(line)]
        return (ours or theirs or [""])[0]


class Store(NamedTuple):
    """What MLflow's database has of the runs of stages."""

    finished: dict[str, list[list[int]]]  # by key, of each run the steps of the curve's points; none but a training's
    at_work: int


class Ground(Project):
    """A project that can be put back. `address` is where its corpus comes from, `until` its last stage."""

    def __init__(self, root: Path, address: str, until: str | None = None) -> None:
        self.root, self.kept = root, root / "kept"
        self.stages = ALL[: ALL.index(until) + 1] if until else ALL
        self.rerun = ["dvc", "repro", *(self.stages if until else [])]
        super().__init__(root / "project")
        for section, values in QUICK.items():
            self.set(section, **values)
        self.set("download", name="archive", path=address)
        self.set("train", steps=EARLIER, tick=TICK)
        self.usual = self._make()
        self.reference, self.locks = self.bytes_of_outputs(), self.locked_outputs()
        found = {key: runs[0] for key, runs in tracked(self.folder / "mlflow.db").finished.items()}
        # Not the shorter training, which is no more among the files.
        self.ledger = {key: steps for key, steps in found.items() if not steps or steps[-1] == STEPS}
        curve = list(range(TICK, STEPS + 1, TICK))
        assert "train" not in self.stages or curve in self.ledger.values(), "the training's points are not found"

    def _make(self) -> dict[str, float]:
        """Run it; the seconds that each stage takes by itself."""
        usual = {}
        for stage in self.stages:
            began = time.monotonic()
            self.run("dvc", "repro", "--single-item", stage)
            usual[stage] = time.monotonic() - began
            if stage == "train":
                self.set("train", steps=STEPS)
                self.run("dvc", "repro", "--single-item", stage)
        if self.stages == ALL:
            self.run("ganpipe", "sync")
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "made")
        shutil.rmtree(self.folder / ".dvc/cache/runs")  # or nothing that was made once would be made again
        self.folder.rename(self.kept)
        self.put_back()
        return usual

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "DVC_SITE_CACHE_DIR": str(self.root / "site"), "OMP_NUM_THREADS": "1"}

    def put_back(self) -> None:
        """As it was after the undisturbed run."""
        shutil.rmtree(self.folder, ignore_errors=True)
        subprocess.run(["cp", "-a", self.kept, self.folder], check=True)  # hard links stay
        self.store = None

    def changed_outputs(self) -> set[str]:
        """Those that DVC finds changed without its memory of files' dates."""
        command = ["dvc", "status", "--json"]
        with tempfile.TemporaryDirectory(dir=self.root) as memory:
            surroundings = {**self.environment(), "DVC_SITE_CACHE_DIR": memory}
            how: dict[str, Any] = {"cwd": self.folder, "env": surroundings, "text": True, "capture_output": True}
            done = subprocess.run(command, check=False, **how)
        if done.returncode:
            return set()
        changes = [each for stage in json.loads(done.stdout).values() for each in stage if isinstance(each, dict)]
        return {path for each in changes for path in each.get("changed outs", {})}

    def forget(self, stage: str) -> None:
        """As if that stage had never run."""
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())
        for out in lock["stages"].pop(stage)["outs"]:
            remove(self.folder / out["path"])
        (self.folder / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        """In a process group of its own; what it says goes to a file."""
        self.log = self.root / "said"
        self.log.unlink(missing_ok=True)  # a stage whose DVC was killed still writes to the old one
        with self.log.open("wb") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment(), stdout=log, stderr=log, start_new_session=True
            )

    def attempt(self, *command: str, meanwhile: Callable[["subprocess.Popen[bytes]"], None] | None = None) -> Done:
        """Run it, and do something to it meanwhile."""
        began = time.monotonic()
        process = self.start(*command)
        try:
            if meanwhile is not None:
                meanwhile(process)
            code = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = HUNG
        return Done(code, self.log.read_text(errors="replace"), time.monotonic() - began)

    def locked_outputs(self) -> dict[str, str]:
        """What dvc.lock says of each output."""
        held = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        return {out["path"]: out["md5"] for entry in held.values() for out in entry["outs"]}

    def bytes_of_outputs(self) -> dict[str, str]:
        """The checksum of each file of each output."""
        found = {}
        for name in self.locked_outputs():
            place = self.folder / name
            for path in [place, *place.rglob("*")] if place.exists() else []:
                if path.is_file():
                    found[str(path.relative_to(self.folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def differences(self) -> list[str]:
        """In what the outputs are not those of the undisturbed run; empty where they are."""
        if self.locked_outputs() != self.locks:
            return ["dvc.lock names other outputs"]
        now = self.bytes_of_outputs()
        return sorted(name for name in now.keys() | self.reference.keys() if now.get(name) != self.reference.get(name))


def zoo() -> bytes:
    """A zip archive of small pictures of digits, a folder for each."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for number, (pixels, digit) in enumerate(zip(digits.images[:IMAGES], digits.target, strict=False)):
            picture = io.BytesIO()
            Image.fromarray((pixels * 15).astype(np.uint8)).resize((32, 32)).save(picture, "PNG")
            info = zipfile.ZipInfo(f"{digit}/{number:04}.png")
            archive.writestr(info, picture.getvalue())
    return held.getvalue()


def remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def tracked(database: Path) -> Store:
    """The runs of stages in a store."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as held:
        runs = held.execute(
            "select k.value, r.status, r.run_uuid from runs r join tags k on k.run_uuid = r.run_uuid "
            "and k.key = 'ganpipe.key' where r.lifecycle_stage = 'active'"
        ).fetchall()
        points = held.execute("select run_uuid, step from metrics where key = ?", [POINT]).fetchall()
    steps: dict[str, list[int]] = {}
    for run, step in sorted(points):
        steps.setdefault(run, []).append(step)
    finished: dict[str, list[list[int]]] = {}
    for key, status, run in runs:
        if status == "FINISHED":
            finished.setdefault(key, []).append(steps.get(run, []))
    return Store(finished, sum(status == "RUNNING" for _, status, _ in runs))


def advice(said: str) -> list[list[str]]:
    """The commands that a sentence names, removals first: what a person would type."""
    removals = re.findall(r"(?:remove|delete) ([\w./@-]+[\w@-])", said)
    commands = re.findall(r"`((?:dvc|make|git|ganpipe) [^`]+)`", said)
    typed = {"make sync": "ganpipe sync", "make repro": "dvc repro"}
    return [["rm", "-r", name] for name in removals] + [typed.get(each, each).split() for each in commands]
