"""Against real MLflow on SQLite."""

import json
import shutil
from pathlib import Path

import mlflow
import pytest

from ganpipe.corpus.shards import Images
from ganpipe.tracking import told
from ganpipe.tracking.run import track
from ganpipe.tracking.store import find_experiment, store_uri
from support.graph import ROOT


def test_an_evaluation_has_figures_and_no_settings_among_them(
    corpus: Images, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    shutil.copy(empty_store, "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path.cwd()}/mlflow.db")
    Path(".dvc").mkdir()
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    figures = {"accuracy": 0.5, "accuracy_validation": 0.6, "class": {"7": 0.25}, "seed": 0, "seed_of_training": 1}
    for place, content in (("metrics/evaluate/digits.json", json.dumps(figures)), ("plots/evaluate/digits/a", "")):
        Path(place).parent.mkdir(parents=True)
        Path(place).write_text(content)
    Path("plots/evaluate/digits/steps.csv").write_text("step,accuracy_validation\n10,0.5\n20,0.6\n")
    with track("evaluate", {}, name="evaluate@digits") as run:
        told.evaluation(run, "digits", corpus)
    (found,) = mlflow.MlflowClient(store_uri()).search_runs([str(find_experiment())])
    assert {name: value for name, value in found.data.metrics.items() if not name.startswith("system/")} == {
        "digits/accuracy": 0.5,
        "digits/accuracy_validation": 0.6,
        "digits/accuracy_validation_by_step": 0.6,
        "digits/class/7": 0.25,
    }
