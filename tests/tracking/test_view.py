"""Against real MLflow on SQLite. What its page makes of the view can only be seen in a browser."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import mlflow
import pytest

from ganpipe.tracking import view as comparison

STAGE = "ganpipe.stage"


@pytest.fixture
def experiment(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    store = tmp_path / "mlflow.db"
    store.write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    return str(mlflow.create_experiment("ganpipe"))


def log(experiment: str, stage: str, parameters: dict[str, Any], **metrics: float) -> None:
    with mlflow.start_run(experiment_id=experiment, tags={STAGE: stage}):
        mlflow.log_params(parameters)
        mlflow.log_metrics({f"cifar10/{name}": value for name, value in metrics.items()})


def view(experiment: str) -> dict[str, Any]:
    saved = json.loads(mlflow.get_experiment(experiment).tags["mlflow.sharedViewState.ganpipe"])
    return dict(json.loads(zlib.decompress(base64.b64decode(saved["state"].removeprefix("deflate;")))))


def test_a_column_for_the_accuracy_its_controls_and_each_setting_that_differs_between_trainings(
    experiment: str,
) -> None:
    log(experiment, "train", {"train.steps": 100, "train.width": 32}, accuracy_validation=0.6, loss=1)
    log(experiment, "train", {"train.steps": 200, "train.width": 32, "train.ema": 0.9}, accuracy_validation=0.7)
    log(experiment, "dedupe", {"train.steps": 200, "train.width": 64})
    comparison.write(mlflow.MlflowClient(), experiment, STAGE)
    state = view(experiment)
    assert state["selectedColumns"] == [
        "metrics.`cifar10/accuracy_validation`",
        "metrics.`cifar10/accuracy`",
        "metrics.`cifar10/accuracy_random_init`",
        "metrics.`cifar10/accuracy_pixels`",
        "params.`train.ema`",
        "params.`train.steps`",
    ]
    assert state["searchFilter"] == "tags.`ganpipe.stage` = 'train'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`cifar10/accuracy_validation`", False)
    assert len(mlflow.search_runs([experiment], state["searchFilter"], output_format="list")) == 2


def test_the_first_charts_are_the_accuracy_and_what_was_different(experiment: str) -> None:
    log(experiment, "train", {"train.steps": 100}, accuracy_validation=0.6)
    comparison.write(mlflow.MlflowClient(), experiment, STAGE)
    charts = view(experiment)["compareRunCharts"]
    assert [(chart["type"], chart["displayName"]) for chart in charts[:3]] == [
        ("BAR", "cifar10/accuracy_validation"),
        ("BAR", "cifar10/accuracy"),
        ("DIFFERENCE", "What was different"),
    ]
    sections = {section["uuid"] for section in view(experiment)["compareRunSections"] if section["display"]}
    assert {chart["metricSectionId"] for chart in charts} == sections


def test_nothing_tracked_yet_gives_a_view_too(experiment: str) -> None:
    comparison.write(mlflow.MlflowClient(), experiment, STAGE)
    assert view(experiment)["selectedColumns"] == []


def test_many_sets_and_settings_fit_a_tag(experiment: str) -> None:
    for value in range(3):
        with mlflow.start_run(experiment_id=experiment, tags={STAGE: "train"}):
            mlflow.log_params({f"section.a_setting_with_a_long_name_{n}": value for n in range(100)})
            mlflow.log_metrics({f"a_set_with_a_long_name_{n}/accuracy_validation": value for n in range(12)})
    comparison.write(mlflow.MlflowClient(), experiment, STAGE)
    assert len(view(experiment)["selectedColumns"]) == 4 * 12 + comparison.COLUMNS_AT_MOST
