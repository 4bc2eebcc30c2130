"""Against real MLflow on SQLite, by what the stages tell."""

import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from ganpipe.tracking import current, sync
from ganpipe.tracking.run import track
from ganpipe.tracking.store import KEY, MODEL, find_experiment, store_uri

OLD = "evaluate@digits (superseded)"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> mlflow.MlflowClient:
    shutil.copy(empty_store, "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path.cwd()}/mlflow.db")
    Path(".dvc").mkdir()
    Path("params.yaml").write_text(yaml.safe_dump({"train": {"width": 4}, "evaluate": {"seed": 0}}))
    with track("train", {"processed": "abc"}) as run:
        run.tags({MODEL: "weights"})
    return mlflow.MlflowClient(store_uri())


def measure(seed: int, labelled: str = "digits", fails: bool = False) -> None:
    Path("params.yaml").write_text(yaml.safe_dump({"train": {"width": 4}, "evaluate": {"seed": seed}}))
    try:
        with track("evaluate", {"weights": "w"}, name=f"evaluate@{labelled}", parent_of="weights") as run:
            run.metrics({"accuracy": seed / 10}, f"{labelled}/")
            if fails:
                raise ValueError("mine")
    except ValueError:
        pass


def nested(client: mlflow.MlflowClient) -> list[Any]:
    """The oldest first."""
    wanted, order = "tags.`ganpipe.stage` = 'evaluate'", ["attributes.start_time ASC"]
    return list(client.search_runs([str(find_experiment())], wanted, order_by=order))


def called(client: mlflow.MlflowClient) -> list[str]:
    return [run.info.run_name for run in nested(client)]


def test_what_was_measured_before_says_so_and_keeps_its_figures(client: mlflow.MlflowClient) -> None:
    measure(1)
    measure(1, "svhn")
    assert called(client) == ["evaluate@digits", "evaluate@svhn"]
    measure(2)
    measure(3)
    assert called(client) == [OLD, "evaluate@svhn", OLD, "evaluate@digits"]
    first, _, second, third = nested(client)
    for run in (first, second):
        assert run.data.tags[current.SUPERSEDED] == third.info.run_id
        assert run.info.status == "FINISHED"
    assert [run.data.metrics["digits/accuracy"] for run in (first, second, third)] == [0.1, 0.2, 0.3]
    assert current.is_current(third)


def test_one_that_failed_takes_no_place_and_loses_its_name_to_one_that_did_not(client: mlflow.MlflowClient) -> None:
    measure(1)
    measure(2, fails=True)
    assert called(client) == ["evaluate@digits", "evaluate@digits"]
    measure(3)
    assert called(client) == [OLD, OLD, "evaluate@digits"]


def test_the_latest_by_its_end_is_current_whatever_was_delivered_last(client: mlflow.MlflowClient) -> None:
    measure(1)
    measure(2)
    first, second = nested(client)
    client.set_terminated(first.info.run_id, "FINISHED", second.info.end_time + 1000)  # as of a run that went on
    current.settle(client, str(find_experiment()), second.data.tags[current.PARENT])
    assert called(client) == ["evaluate@digits", OLD]
    assert current.is_current(nested(client)[0])


def test_sync_settles_an_older_store_and_brings_back_what_the_files_have(client: mlflow.MlflowClient) -> None:
    measure(1)
    measure(2)
    first, second = nested(client)
    for name in (first.info.run_id, second.info.run_id):  # as before there was such a mark
        client.update_run(name, name="evaluate@digits")
    client.delete_tag(first.info.run_id, current.SUPERSEDED)
    sync.sync()
    assert called(client) == [OLD, "evaluate@digits"]
    changed = [run.to_dictionary() for run in nested(client)]
    sync.sync()
    assert [run.to_dictionary() for run in nested(client)] == changed
    # Settings that went back to the first ones: DVC restores the files, and the store has them as superseded.
    assert not sync._is_there(client, first.data.tags[KEY])
    assert sync._is_there(client, second.data.tags[KEY])
