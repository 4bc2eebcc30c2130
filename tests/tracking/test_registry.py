"""Models in a real store that fails while it takes one."""

import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from ganpipe.models.dcgan import Discriminator, Generator
from ganpipe.models.store import save_gan
from ganpipe.tracking import registry


def test_a_model_whose_upload_was_cut_short_is_logged_again(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow ties a model to its run before it has the files."""
    shutil.copy(empty_store, "mlflow.db")
    store = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(store)
    experiment = client.create_experiment("ganpipe", (tmp_path / "artefacts").as_uri())
    run = client.create_run(experiment).info.run_id
    config = {"train": {"noise": "uniform"}}
    save_gan(tmp_path / "gan", {"generator": Generator(2, 5), "discriminator": Discriminator(2)}, config)
    with monkeypatch.context() as patch:
        patch.setattr(LocalArtifactRepository, "log_artifacts", _fail)
        with pytest.raises(ConnectionError):
            registry.log_model(mlflow, store, run, tmp_path / "gan")
    registry.register(client, "ganpipe-default", run, "digits", {"validation": 0.5})
    assert not client.search_registered_models()

    for _ in range(2):  # the second time it is there
        registry.log_model(mlflow, store, run, tmp_path / "gan")
    states = sorted(str(model.status) for model in client.search_logged_models([experiment]))
    assert states == ["FAILED", "READY"]
    registry.register(client, "ganpipe-default", run, "digits", {"validation": 0.5})
    version = client.get_model_version_by_alias("ganpipe-default", registry.BEST)
    assert version.run_id == run
    (whole,) = (model for model in client.search_logged_models([experiment]) if model.status == "READY")
    assert f"models:/{whole.model_id}" == version.source


def _fail(*_: Any, **__: Any) -> None:
    raise ConnectionError("gone")
