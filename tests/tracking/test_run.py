"""Against real MLflow on SQLite, in a folder that looks like a project."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from PIL import Image

from ganpipe.tracking import view
from ganpipe.tracking.run import Run, track
from ganpipe.tracking.store import MODEL, STAGE, find_experiment, store_uri
from support.graph import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    Path(".dvc").mkdir()
    shutil.copy(empty_store, "mlflow.db")
    # set_tracking_uri leaves its address in the environment; the next test must not find it.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    return tmp_path


def client() -> mlflow.MlflowClient:
    return mlflow.MlflowClient(store_uri())


def runs() -> list[Any]:
    experiment = client().get_experiment_by_name("ganpipe")
    assert experiment is not None
    return list(client().search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def test_a_run_holds_parameters_tags_metrics_and_pictures(project: Path) -> None:
    Image.new("RGB", (4, 4), "red").save("red.png")
    with track("train", {"processed": "abc"}, name="width 32") as run:
        for step in (50, 100):
            run.tick({"step": step, "loss_g": step / 100})
            run.picture("samples", Path("red.png"), step)
        run.picture("duplicates", Path("red.png"))
        run.metrics({"accuracy": 0.5, "note": "no number"})
        run.tags({MODEL: "123"})
    (found,) = runs()
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "width 32"
    assert found.data.params["train.width"] == "32"
    assert found.data.params["download.name"] == "cifar10"
    assert not [name for name in found.data.params if name.startswith("evaluate.")]  # of which it may have several
    assert found.data.tags[STAGE] == "train"
    assert found.data.tags["ganpipe.images.processed"] == "abc"
    assert found.data.metrics["accuracy"] == 0.5
    assert [(m.step, m.value) for m in client().get_metric_history(found.info.run_id, "train/loss_g")] == [
        (50, 0.5),
        (100, 1.0),
    ]
    files = [item.path for item in client().list_artifacts(found.info.run_id, "images")]
    assert all(any(f"samples+step+{step}+" in path for path in files) for step in (50, 100))
    assert [item.path for item in client().list_artifacts(found.info.run_id, "duplicates")] == ["duplicates/red.png"]
    assert (project / "mlartifacts").is_dir()


def test_an_evaluation_is_nested_in_the_training_of_its_weights_and_puts_its_figures_there(project: Path) -> None:
    for weights in ("first", "second"):
        with track("train", {"processed": weights}) as run:
            run.tags({MODEL: weights})
    with track("evaluate", {"weights": "first"}, name="evaluate@digits", parent_of="first") as run:
        run.metrics({"accuracy": 0.75}, prefix="digits/")
        run.curve("digits/by_step", {20: 0.7, 10: 0.5})
    first, second, nested = runs()
    points = client().get_metric_history(nested.info.run_id, "digits/by_step")
    assert [(point.step, point.value) for point in points] == [(10, 0.5), (20, 0.7)]
    assert nested.data.tags["mlflow.parentRunId"] == first.info.run_id
    assert first.data.metrics["digits/accuracy"] == nested.data.metrics["digits/accuracy"] == 0.75
    assert "digits/accuracy" not in second.data.metrics


def test_figures_do_not_stand_beside_those_of_another_evaluation_that_exclude_them(project: Path) -> None:
    with track("train", {"processed": "abc"}) as run:
        run.tags({MODEL: "weights"})
    for figures, unless in (
        ({"validation": 0.5}, "accuracy"),
        ({"accuracy": 0.6}, None),
        ({"validation": 0.7}, "accuracy"),
    ):
        with track("evaluate", {"weights": str(figures)}, parent_of="weights") as run:
            run.metrics(figures, unless=unless)
    parent, *nested = runs()
    assert parent.data.metrics == {"validation": 0.5, "accuracy": 0.6}
    assert [found.data.metrics for found in nested] == [{"validation": 0.5}, {"accuracy": 0.6}, {"validation": 0.7}]


def test_any_name_of_a_class_is_a_figures_name(project: Path) -> None:
    with track("evaluate", {}) as run:
        run.metrics({"dogs (small)": 0.5, "c++": 0.25, "x" * 300: 1.0}, "digits/class/")
        run.metrics({"after": 1.0})
    (found,) = runs()
    assert found.data.metrics["digits/class/dogs _small_"] == 0.5
    assert found.data.metrics["digits/class/c__"] == 0.25
    assert len(found.data.metrics) == 4


def test_a_stage_that_was_killed_goes_on_in_its_run_and_logs_no_step_twice(project: Path) -> None:
    # `dvc exp run` gives each life of an experiment another name.
    with pytest.raises(KeyboardInterrupt), track("train", {"processed": "abc"}, name="woven-zest") as run:
        for step in (50, 100):
            run.tick({"step": step, "loss_g": 1.0})
        raise KeyboardInterrupt
    with track("train", {"processed": "abc"}, name="fussy-lamb") as run:
        for step in (50, 100, 150):
            run.tick({"step": step, "loss_g": 1.0})
    (found,) = runs()
    assert found.info.status == "FINISHED"
    assert [point.step for point in client().get_metric_history(found.info.run_id, "train/loss_g")] == [50, 100, 150]
    with track("train", {"processed": "abc"}):
        pass
    assert len(runs()) == 2  # what was finished is not gone on with


def test_other_settings_or_inputs_get_a_run_of_their_own(project: Path) -> None:
    for inputs in ({"processed": "abc"}, {"processed": "xyz"}):
        with pytest.raises(KeyboardInterrupt), track("train", inputs):
            raise KeyboardInterrupt
    assert [run.info.status for run in runs()] == ["KILLED", "KILLED"]


def test_a_failed_stage_is_a_failed_run(project: Path) -> None:
    with pytest.raises(ValueError, match="mine"), track("train", {}):
        raise ValueError("mine")
    assert [run.info.status for run in runs()] == ["FAILED"]


def test_a_server_that_is_not_there_costs_a_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{unused.getsockname()[1]}")
        start = time.monotonic()
        with track("train", {}) as run:
            run.tick({"step": 1, "loss_g": 1.0})
            run.metrics({"accuracy": 1.0})
    assert time.monotonic() - start < 60
    said = capsys.readouterr().err
    assert said.count("warning: MLflow does not take it") <= 1
    assert said.count("tracking: MLflow does not have all of it yet; `make sync` sends the rest") == 1


def test_what_mlflow_refuses_is_told_and_the_rest_arrives(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with track("train", {}) as run:
        run.tick({"step": 1, "loss_g": 1.0})
        run.tags({"x" * 2000: "1"})  # a name longer than MLflow takes
        run.tick({"step": 2, "loss_g": 1.0})
    assert capsys.readouterr().err.count("warning: MLflow refuses tags: 'key' exceeds the maximum length") == 1
    (found,) = runs()
    assert found.info.status == "FINISHED"
    assert [p.step for p in client().get_metric_history(found.info.run_id, "train/loss_g")] == [1, 2]


def test_settings_inputs_and_where_they_come_from_are_tags(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "woven-zest")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    Path("dvc.lock").write_text("stages: {}")
    with track("train", {"processed": "abc"}):
        pass
    tags = runs()[0].data.tags
    assert (tags["dvc.exp"], tags["dvc.baseline"]) == ("woven-zest", "0" * 40)
    assert {"ganpipe.key", "ganpipe.parameters", "dvc.lock", "git.dirty"} <= tags.keys()
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("stages/train.py", "LOCAL")
    with track("train", {"processed": "xyz"}):
        pass
    other = runs()[1].data.tags
    assert other["ganpipe.key"] != tags["ganpipe.key"]
    assert other["ganpipe.parameters"] == tags["ganpipe.parameters"]


def test_the_load_of_the_machine_is_noted_now_and_then(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganpipe.tracking.run.SAMPLING", 0.05)
    with track("train", {}):
        time.sleep(0.3)
    run = runs()[0]
    points = client().get_metric_history(run.info.run_id, "system/system_memory_usage_percentage")
    assert [point.step for point in points] == list(range(len(points)))
    assert points and 0 < points[0].value < 100


def test_without_mlflow_everything_else_works(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(None)
    calls: list[Callable[[], None]] = [
        lambda: run.tick({"step": 1, "loss_g": 1.0}),
        lambda: run.metrics({"a": 1}),
        lambda: run.tags({"a": "b"}),
        lambda: run.picture("a", Path("b")),
        lambda: run.picture("a", Path("not there yet: another process writes it"), step=3),
        lambda: run.artefact(Path("a"), "b"),
    ]
    for call in calls:
        call()
    assert capsys.readouterr().err == ""


def test_the_store_lies_at_the_dvc_root_also_of_temporary_copies(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = project / ".dvc" / "tmp" / "exps" / "standalone" / "tmpxyz"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert store_uri() == f"sqlite:///{project}/mlflow.db"


def test_parameters_follow_the_file(project: Path) -> None:
    Path("params.yaml").write_text(json.dumps({"train": {"width": 7, "C": [1, 2]}}))
    with track("train", {}):
        pass
    assert runs()[0].data.params == {"train.width": "7", "train.C": "[1, 2]"}


def test_each_run_keeps_the_view_that_compares_trainings_up_to_date(project: Path) -> None:
    with track("train", {"processed": "abc"}) as run:
        run.metrics({"accuracy": 0.5}, prefix="digits/")
    experiment = find_experiment()
    assert experiment is not None
    tags = client().get_experiment(experiment).tags
    assert view.TAG in tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_store_whose_making_was_cut_short_is_made_again(project: Path) -> None:
    Path("mlflow.db").unlink()
    make = "import mlflow; from ganpipe.tracking.store import make_store, store_uri; make_store(mlflow, store_uri())"
    maker = subprocess.Popen([sys.executable, "-c", make], stderr=subprocess.DEVNULL)
    while not (drafts := list(project.glob(".mlflow.db.*.part"))) or drafts[0].stat().st_size < 200_000:
        assert maker.poll() is None
        time.sleep(0.01)
    maker.kill()
    maker.wait()
    assert not Path("mlflow.db").exists()
    with track("train", {"processed": "abc"}):
        pass
    assert [run.info.status for run in runs()] == ["FINISHED"]
