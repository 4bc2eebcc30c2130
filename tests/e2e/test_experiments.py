"""Experiments: DVC's queue and `make ci-experiment`, with a git remote and a DVC remote. In the order given."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.graph import ROOT
from support.project import ALL, QUICK, Project, executed

PATIENCE, TIMED_OUT = 400, 124  # seconds for two trainings side by side; what `timeout` ends with


class Shared(Project):
    """A project whose branch main has results, which are at both remotes."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.place = folder.parent
        super().__init__(folder)
        shutil.copytree(ROOT / "ci", folder / "ci", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(ROOT / "Makefile", folder / "Makefile")
        shutil.copyfile(store, folder / "mlflow.db")
        for section, values in QUICK.items():
            self.set(section, **values)
        self.run("git", "branch", "--move", "main")
        self.run("git", "init", "-q", "--bare", "--initial-branch", "main", str(self.place / "git"))
        self.run("git", "remote", "add", "origin", str(self.place / "git"))
        self.run("dvc", "remote", "add", "--default", "storage", str(self.place / "storage"))
        assert self.repro()[0] == ALL
        self.commit("results")
        self.run("dvc", "push", "-q", "--run-cache")

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)
        self.run("git", "push", "-q", "origin", "HEAD")

    def make(self, *what: str, code: int = 0) -> str:
        """Without `make setup`: what the tests run with is installed."""
        return self.run("make", "--old-file", "setup", *what, code=code)


class Clone(Shared):
    """Another machine's, which has nothing but the two remotes."""

    def __init__(self, of: Shared, name: str, branch: str) -> None:
        self.place, self.folder = of.place, of.place / name
        of.run("git", "clone", "-q", "--branch", branch, str(of.place / "git"), str(self.folder))


def told(out: str) -> list[str]:
    """What the last but one line says, and the stages that ran agree."""
    said = next(line for line in out.splitlines() if line.startswith("executed: ")).removeprefix("executed: ")
    ran = [line.split("'")[1] for line in out.splitlines() if line.startswith("Running stage")]
    assert said == (", ".join(ran) or "nothing")
    return executed(out)


def run_all(shared: Shared) -> str:
    """What DVC says while it runs the queue: again where its workers wait for ever, as they do once in many times."""
    command = ["timeout", str(PATIENCE), "dvc", "exp", "run", "--run-all", "-j", "2"]
    done = subprocess.run(
        command, cwd=shared.folder, env=shared.environment(), text=True, capture_output=True, check=False
    )
    if done.returncode == TIMED_OUT:
        shared.run("dvc", "queue", "stop", "--kill")
        return shared.run("dvc", "exp", "run", "--run-all")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def assert_told(shared: Shared, names: list[str]) -> None:
    """Each experiment's training and its evaluation, once and finished; and nothing waits to be delivered."""
    trainings = {run.data.tags.get("dvc.exp", ""): run for run in shared.mlflow_runs("train")}
    assert sorted(trainings) == ["", *names]  # the first is of `dvc repro`
    assert len(shared.mlflow_runs("train")) == len(trainings)
    evaluations = shared.mlflow_runs("evaluate")
    assert {run.data.tags["mlflow.parentRunId"] for run in evaluations} == {
        run.info.run_id for run in trainings.values()
    }
    assert len(evaluations) == len(trainings)
    for training in trainings.values():
        history = shared.client().get_metric_history(training.info.run_id, "train/loss_d")
        assert [point.step for point in history] == [10]
        assert "digits/accuracy" in training.data.metrics
    assert {run.info.status for run in (*trainings.values(), *evaluations)} == {"FINISHED"}
    assert not list((shared.folder / ".ckpt/tracking").iterdir())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Shared:
    return Shared(tmp_path_factory.mktemp("ci") / "project", empty_store)


def test_those_side_by_side_write_to_one_store(shared: Shared) -> None:
    for seed in (1, 2):
        shared.run("dvc", "exp", "run", *(f"--queue -n seed-{seed} -S train.seed={seed} evaluate@digits".split()))
    said = run_all(shared)
    for seed in (1, 2):
        said += shared.run("dvc", "queue", "logs", f"seed-{seed}")
    assert "locked" not in said and "MLflow does not" not in said
    assert_told(shared, ["seed-1", "seed-2"])
    lines = shared.run("ganpipe", "experiments").splitlines()
    assert {line.split()[0] for line in lines[1:]} >= {"workspace", "seed-1", "seed-2"}
    assert lines[0].split()[0] == "train.seed" and "validation" in lines[0] and max(map(len, lines)) < 100
    assert not list((shared.folder / ".dvc/tmp").rglob("mlflow.db"))
    assert "made from files" not in shared.run("ganpipe", "sync")


def test_a_changed_setting_runs_its_stages_in_a_copy_and_is_reported(shared: Shared) -> None:
    shared.run("git", "checkout", "-qb", "longer")
    shared.set("train", steps=20)
    shared.commit("train longer")
    shared.set("evaluate", seed=9)  # not committed
    (shared.folder / "stages/new.py").write_text("not committed, either\n")
    before = shared.run("git", "status", "--porcelain", "--", ".", ":!report*")
    locked = (shared.folder / "dvc.lock").read_bytes()

    out = shared.make("ci-experiment", "BASE=main")
    assert told(out) == ["train", "evaluate@digits", "analyse"]
    assert "what is not committed is left out" in out
    assert shared.run("git", "status", "--porcelain", "--", ".", ":!report*") == before
    assert (shared.folder / "dvc.lock").read_bytes() == locked
    assert not (shared.folder / ".dvc/tmp/exps/ci/copies").exists()

    report = (shared.folder / "report.md").read_text()
    assert "| `train` | `train.steps` | executed |" in report
    assert "| `evaluate@digits` | `models/gan` | executed |" in report
    assert "evaluate.seed" not in report
    old = shared.json("metrics/evaluate/digits.json")["accuracy"]
    assert f"{old:.2%}" in next(line for line in report.splitlines() if line.startswith("| `digits` test "))
    assert "![new-samples.png](report/new-samples.png)" in report
    assert (shared.folder / "report/new-samples.png").read_bytes()[:4] == b"\x89PNG"
    assert "train.steps" in re.sub("<[^>]*>", "", (shared.folder / "report.html").read_text())


def test_the_second_time_nothing_is_executed(shared: Shared) -> None:
    shared.run("git", "checkout", "-q", "params.yaml")
    (shared.folder / "stages/new.py").unlink()
    out = shared.make("ci-experiment", "PUSH=1")  # BASE is main where nothing else is said
    assert told(out) == []
    assert "| `train` | `train.steps` | from the cache |" in (shared.folder / "report.md").read_text()


def test_another_machine_takes_what_was_pushed_and_commits_it(shared: Shared) -> None:
    other = Clone(shared, "other", "longer")
    other.run("git", "config", "user.name", "Test")
    other.run("git", "config", "user.email", "test@example.invalid")
    assert "dvc.lock does not fit: train would run (train)" in other.make("ci-lock", code=2)
    ran = other.run("dvc", "repro", "--pull", "--allow-missing")
    assert "Running stage" not in ran
    other.commit("results")

    fresh = Clone(shared, "fresh", "longer")
    assert "Data and pipelines are up to date" in fresh.run("dvc", "repro", "--pull", "--allow-missing", "--dry")
    assert "dvc.lock fits the code and the settings" in fresh.make("ci-lock")
    assert "the DVC remote has all that dvc.lock names" in fresh.make("ci-remote")
    # As in CI: of main, only what origin has of it is there.
    assert told(fresh.make("ci-experiment", "BASE=main")) == []
    assert "| `train` | `train.steps` | as in dvc.lock |" in (fresh.folder / "report.md").read_text()


def test_what_is_missing_is_named(shared: Shared) -> None:
    fresh = Clone(shared, "incomplete", "longer")
    (fresh.folder / "metrics/train.json").unlink()
    assert "metrics/train.json is not here: `git add` it" in fresh.make("ci-lock", code=2)
    models = shared.place / "storage/files/md5" / shared.locked("train")["models/gan"][:2]
    folder = models / shared.locked("train")["models/gan"][2:]
    gone = next(entry for entry in json.loads(folder.read_text()) if entry["relpath"] == "config.json")["md5"]
    kept = shared.place / "storage/files/md5" / gone[:2] / gone[2:]
    kept.rename(shared.place / "kept")
    try:
        shared.run("git", "checkout", "-q", "main")
        elsewhere = Clone(shared, "elsewhere", "main")
        assert "not at the DVC remote: models/gan/config.json. `dvc push" in elsewhere.make("ci-remote", code=2)
    finally:
        (shared.place / "kept").rename(kept)
    fresh.run("dvc", "remote", "remove", "storage")
    assert "no DVC remote is configured" in fresh.make("ci-remote")


def test_a_base_that_is_not_there_gets_a_sentence(shared: Shared) -> None:
    out = shared.make("ci-experiment", "BASE=$$(touch pwned)", code=2)
    assert "error: BASE is $(touch pwned), which git here does not know" in out
    assert not (shared.folder / "pwned").exists()


def test_without_a_remote_the_results_come_from_the_cache(shared: Shared) -> None:
    shared.run("git", "checkout", "-q", "longer")
    shared.run("git", "reset", "-q", "--hard", "origin/longer")
    shared.run("dvc", "remote", "remove", "storage")
    assert told(shared.make("ci-experiment", "BASE=main")) == []
    assert "`dvc repro` takes these results over" in (shared.folder / "report.md").read_text()
    out = shared.make("ci-experiment", "BASE=main", "PUSH=1", code=2)
    assert "error: there is no DVC remote to push to: `dvc remote add --default NAME ADDRESS` names one" in out


def test_two_at_once_do_not_meet(shared: Shared) -> None:
    lock = shared.folder / ".dvc/tmp/exps/ci/lock"
    holder = subprocess.Popen(["flock", str(lock), "sleep", "60"])
    try:
        while "is at work in this folder already" not in (out := shared.make("ci-experiment", code=2)):
            assert holder.poll() is None, out
    finally:
        holder.kill()
        holder.wait()
