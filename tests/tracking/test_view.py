"""Against real MLflow on SQLite. What its page makes of the view can only be seen in a browser."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import mlflow
import pytest

from ganpipe.tracking import view as comparison
from ganpipe.tracking.notes import NOTE

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
    comparison.write(mlflow.MlflowClient(), experiment)
    state = view(experiment)
    assert state["selectedColumns"] == [
        "metrics.`cifar10/accuracy_validation`",
        "metrics.`cifar10/accuracy`",
        "params.`train.ema`",
        "params.`train.steps`",
        "metrics.`cifar10/accuracy_random_init`",
        "metrics.`cifar10/accuracy_pixels`",
    ]
    assert state["searchFilter"] == "tags.`ganpipe.stage` = 'train'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`cifar10/accuracy_validation`", False)
    assert len(mlflow.search_runs([experiment], state["searchFilter"], output_format="list")) == 2


def test_the_first_charts_are_the_accuracy_and_what_was_different(experiment: str) -> None:
    log(experiment, "train", {"train.steps": 100}, accuracy_validation=0.6)
    comparison.write(mlflow.MlflowClient(), experiment)
    charts = view(experiment)["compareRunCharts"]
    assert [(chart["type"], chart["displayName"]) for chart in charts[:3]] == [
        ("BAR", "cifar10/accuracy_validation"),
        ("BAR", "cifar10/accuracy"),
        ("DIFFERENCE", "What was different"),
    ]
    sections = {section["uuid"] for section in view(experiment)["compareRunSections"] if section["display"]}
    assert {chart["metricSectionId"] for chart in charts} == sections


def test_the_best_evaluation_is_no_set(experiment: str) -> None:
    with mlflow.start_run(experiment_id=experiment, tags={STAGE: "train"}):
        mlflow.log_metrics({f"{name}/accuracy_validation": 0.6 for name in ("best", "cifar10", "svhn")})
    comparison.write(mlflow.MlflowClient(), experiment)
    state = view(experiment)
    assert {name.split("/")[0] for name in state["selectedColumns"]} == {"metrics.`cifar10", "metrics.`svhn"}
    bars = [chart["metricKey"] for chart in state["compareRunCharts"] if chart["type"] == "BAR"]
    assert [name.split("/")[0] for name in bars] == ["cifar10", "cifar10", "svhn", "svhn"]
    assert state["orderByKey"] == "metrics.`cifar10/accuracy_validation`"


def test_all_groups_of_figures_are_below_and_closed(experiment: str) -> None:
    """Or the page opens those that it does not know, with a chart for each figure."""
    names = ["train/loss_d", "best/accuracy", "digits/class/0", "digits/accuracy_validation", "analyse/walks"]
    with mlflow.start_run(experiment_id=experiment, tags={STAGE: "train"}):
        mlflow.log_metrics(dict.fromkeys([*names, "system/cpu_utilization_percentage"], 0.5))
    comparison.write(mlflow.MlflowClient(), experiment)
    closed = [section["uuid"] for section in view(experiment)["compareRunSections"] if not section["display"]]
    assert closed == ["digits", "digits/class", "analyse", "train", "best", "System metrics"]


def test_a_curve_is_one_figure_as_it_was_and_samples_are_of_a_step_that_all_have(experiment: str) -> None:
    for steps, every in ((300, 100), (500, 100), (450, 150), ("450.0", 7)):
        log(experiment, "train", {"train.steps": steps, "train.sample_every": every}, accuracy_validation=0.6)
    comparison.write(mlflow.MlflowClient(), experiment)
    charts = view(experiment)["compareRunCharts"]
    lines = [chart for chart in charts if chart["type"] == "LINE"]
    assert [chart["selectedMetricKeys"] for chart in lines] == [
        ["train/loss_d"],
        ["train/loss_g"],
        ["train/real_accuracy"],
        ["train/fake_accuracy"],
    ]
    assert {chart["lineSmoothness"] for chart in lines} == {0}
    assert [chart["step"] for chart in charts if chart["type"] == "IMAGE"] == [300]


def test_the_experiment_is_described_unless_somebody_has(experiment: str) -> None:
    client = mlflow.MlflowClient()
    comparison.write(client, experiment)
    assert "Which training is better" in client.get_experiment(experiment).tags[NOTE]
    client.set_experiment_tag(experiment, NOTE, "mine")
    comparison.write(client, experiment)
    assert client.get_experiment(experiment).tags[NOTE] == "mine"


def test_nothing_tracked_yet_gives_a_view_too(experiment: str) -> None:
    comparison.write(mlflow.MlflowClient(), experiment)
    assert view(experiment)["selectedColumns"] == []


def test_many_sets_and_settings_fit_a_tag(experiment: str) -> None:
    for value in range(3):
        with mlflow.start_run(experiment_id=experiment, tags={STAGE: "train"}):
            mlflow.log_params({f"section.a_setting_with_a_long_name_{n}": value for n in range(100)})
            mlflow.log_metrics({f"a_set_with_a_long_name_{n}/accuracy_validation": value for n in range(12)})
    comparison.write(mlflow.MlflowClient(), experiment)
    assert len(view(experiment)["selectedColumns"]) == 4 * 12 + comparison.COLUMNS_AT_MOST
