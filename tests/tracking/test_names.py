"""Against real git, and real MLflow on SQLite."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from ganpipe.tracking import names
from ganpipe.tracking.run import run_name, track
from ganpipe.tracking.store import STAGE, store_uri

EXPERIMENT = "1"
HERE = {"train.width": 16, "train.steps": 400, "train.objective": "hinge", "train.r1": None, "dedupe.method": "phash"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> mlflow.MlflowClient:
    shutil.copy(empty_store, "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path.cwd()}/mlflow.db")
    Path(".dvc").mkdir()
    client = mlflow.MlflowClient(store_uri())
    assert client.create_experiment("ganpipe") == EXPERIMENT
    return client


def settings(**changed: Any) -> dict[str, Any]:
    return {**HERE, **{name.replace("__", "."): value for name, value in changed.items()}}


def log(client: mlflow.MlflowClient, values: dict[str, Any], name: str | None = None, stage: str = "train") -> str:
    made = client.create_run(EXPERIMENT, tags={STAGE: stage}, run_name=name or names.own(stage, values))
    for key, value in values.items():
        client.log_param(made.info.run_id, key, value)
    return str(made.info.run_id)


def told(client: mlflow.MlflowClient, stage: str = "train") -> list[str]:
    """The names after a second time, too, which changes none; the oldest first."""
    names.tell_apart(client, EXPERIMENT, stage)
    wanted, order = f"tags.`{STAGE}` = '{stage}'", ["attributes.start_time ASC"]
    first = [run.info.run_name for run in client.search_runs([EXPERIMENT], wanted, order_by=order)]
    names.tell_apart(client, EXPERIMENT, stage)
    assert [run.info.run_name for run in client.search_runs([EXPERIMENT], wanted, order_by=order)] == first
    return first


def test_differences_are_those_of_the_section_first_and_few() -> None:
    assert names.differences(HERE, HERE) == ""
    assert names.differences(HERE, {name: str(value) for name, value in HERE.items()}) == ""
    changed = settings(dedupe__method="dhash", train__objective="wasserstein", train__r1=0.1)
    assert names.differences(changed, HERE) == "objective wasserstein, r1 0.1, dedupe.method dhash"
    assert names.differences(HERE, changed) == "objective hinge, r1 none, dedupe.method phash"
    assert names.differences({**HERE, "train.new": 1}, HERE) == ""
    many = {f"train.{letter}": 1 for letter in "abcde"}
    assert names.differences(many, dict.fromkeys(many, 2)) == "a 1, b 1, c 1, 2 more"
    assert names.differences(settings(dedupe__method="x" * 50), HERE) == "dedupe.method …"


def test_an_experiment_of_dvc_says_what_it_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*command: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.invalid", *command], check=True)

    sections = {"dedupe": {"method": "phash"}, "train": {"width": 16, "steps": 400}, "evaluate": {"seed": 0}}
    Path("params.yaml").write_text(yaml.safe_dump(sections))
    assert run_name("width 16, 400 steps") == "width 16, 400 steps"
    monkeypatch.setenv("DVC_EXP_NAME", "woven-zest")
    assert run_name("width 16, 400 steps") == "woven-zest"  # no git here
    git("init", "-q")
    git("add", "params.yaml")
    git("commit", "-qm", "baseline")
    assert run_name("width 16, 400 steps") == "woven-zest"
    changed = {**sections, "train": {"width": 8, "steps": 400}, "evaluate": {"seed": 1}}
    Path("params.yaml").write_text(yaml.safe_dump(changed))
    assert run_name("width 8, 400 steps") == "woven-zest: width 8"
    git("commit", "-qam", "in the copy that an experiment runs in")
    assert run_name("width 8, 400 steps") == "woven-zest"
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "HEAD~1")
    assert run_name("width 8, 400 steps") == "woven-zest: width 8"


def test_trainings_that_differ_have_names_that_do(client: mlflow.MlflowClient) -> None:
    log(client, settings())
    log(client, settings())  # the same again
    log(client, settings(train__objective="saturating"))
    log(client, settings(train__objective="saturating"))
    log(client, settings(train__steps=500))
    log(client, settings(train__r1=1), name="mine")
    log(client, {**settings(), "train.new": 1})  # of a version with one setting more
    assert told(client) == [
        "width 16, 400 steps",
        "width 16, 400 steps",
        "objective saturating, width 16, 400 steps",
        "objective saturating, width 16, 400 steps",
        "width 16, 500 steps",
        "mine",
        "width 16, 400 steps",
    ]


def test_names_that_are_cut_off_get_a_number(client: mlflow.MlflowClient) -> None:
    for value in (0, 1, 2):
        log(client, {**HERE, **{f"train.{letter}": min(value, 1) for letter in "abcd"}, "train.e": value})
    known = ["width 16, 400 steps", "a 1, b 1, c 1, 2 more, width 16, 400 steps"]
    assert told(client) == [*known, f"{known[1]} (2)"]


def test_stages_that_make_data_are_told_apart_too(client: mlflow.MlflowClient) -> None:
    for method in ("phash", "dhash"):
        log(client, settings(dedupe__method=method), stage="dedupe")
    assert told(client, "dedupe") == ["dedupe", "dedupe, method dhash"]


def test_a_training_is_told_apart_when_it_begins(client: mlflow.MlflowClient) -> None:
    for objective in ("hinge", "saturating"):
        train = {"width": 16, "steps": 400, "objective": objective}
        Path("params.yaml").write_text(yaml.safe_dump({"train": train}))
        with track("train", {"processed": "abc"}, name=run_name("width 16, 400 steps")):
            pass
    called = {run.info.run_name for run in client.search_runs([EXPERIMENT])}
    assert called == {"width 16, 400 steps", "objective saturating, width 16, 400 steps"}
