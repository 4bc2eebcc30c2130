"""`dvc exp run`, queued, side by side and in copies of the workspace: all of it ends in the project's one store."""

import shutil
import subprocess
from pathlib import Path

import pytest

from support.project import QUICK, Project

PATIENCE, TIMED_OUT = 400, 124  # seconds for two trainings side by side; what `timeout` ends with


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    project = Project(tmp_path_factory.mktemp("experiments") / "project")
    shutil.copyfile(empty_store, project.folder / "mlflow.db")
    for section, values in QUICK.items():
        project.set(section, **values)
    project.repro()
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "results")
    return project


def test_those_side_by_side_write_to_one_store(project: Project) -> None:
    for seed in (1, 2):
        project.run("dvc", "exp", "run", "--queue", "-n", f"seed-{seed}", "-S", f"train.seed={seed}")
    said = run_all(project)
    for seed in (1, 2):
        said += project.run("dvc", "queue", "logs", f"seed-{seed}")
    assert "locked" not in said and "MLflow does not" not in said
    assert_told(project, ["seed-1", "seed-2"])
    lines = project.run("ganpipe", "experiments").splitlines()
    assert {line.split()[0] for line in lines[1:]} >= {"workspace", "seed-1", "seed-2"}
    assert lines[0].split()[0] == "train.seed" and "validation" in lines[0] and max(map(len, lines)) < 100
    assert not list((project.folder / ".dvc/tmp").rglob("mlflow.db"))
    assert "made from files" not in project.run("ganpipe", "sync")


def run_all(project: Project) -> str:
    """What DVC says while it runs the queue: again where its workers wait for ever, as they do once in many times."""
    command = ["timeout", str(PATIENCE), "dvc", "exp", "run", "--run-all", "-j", "2"]
    done = subprocess.run(
        command, cwd=project.folder, env=project.environment(), text=True, capture_output=True, check=False
    )
    if done.returncode == TIMED_OUT:
        project.run("dvc", "queue", "stop", "--kill")
        return project.run("dvc", "exp", "run", "--run-all")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def assert_told(project: Project, names: list[str]) -> None:
    """Each experiment's training and its evaluation, once and finished; and nothing waits to be delivered."""
    trainings = {run.data.tags.get("dvc.exp", ""): run for run in project.mlflow_runs("train")}
    assert sorted(trainings) == ["", *names]  # the first is of `dvc repro`
    assert len(project.mlflow_runs("train")) == len(trainings)
    evaluations = project.mlflow_runs("evaluate")
    assert {run.data.tags["mlflow.parentRunId"] for run in evaluations} == {
        run.info.run_id for run in trainings.values()
    }
    assert len(evaluations) == len(trainings)
    for training in trainings.values():
        history = project.client().get_metric_history(training.info.run_id, "train/loss_d")
        assert [point.step for point in history] == [10]
        assert "digits/accuracy" in training.data.metrics
    assert {run.info.status for run in (*trainings.values(), *evaluations)} == {"FINISHED"}
    assert not list((project.folder / ".ckpt/tracking").iterdir())
