"""Against a real MLflow server that is not there, dies, and comes back; and stages that are killed with SIGKILL."""

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from PIL import Image

from ganpipe.errors import UserError
from ganpipe.tracking import delivery as module
from ganpipe.tracking import journal, registry
from ganpipe.tracking.delivery import sweep
from ganpipe.tracking.run import track
from ganpipe.tracking.store import MODEL
from ganpipe.tracking.sync import sync
from support.graph import ROOT
from support.server import WebServer, free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[WebServer]:
    """It can be killed, and started again on what it had."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    shutil.copy(empty_store, folder / "server.db")
    store = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", "artefacts"]
    place = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    made = WebServer([sys.executable, "-m", "mlflow", "server", *store, *place], folder, port, None)
    yield made
    made.kill()


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch, empty_store: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR", "urllib3")
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    Path(".dvc").mkdir()
    shutil.copy(empty_store, "mlflow.db")
    Image.new("RGB", (4, 4), "red").save("red.png")
    monkeypatch.setattr(module, "QUIET", 0.05)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.2)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


def tell(steps: int = 5, wait: float = 0.0, inputs: str = "abc") -> None:
    """A training as a stage tells it."""
    with track("train", {"processed": inputs}, name="told") as run:
        for step in range(steps):
            run.tick({"step": step, "loss_d": step / 7})
            run.picture("samples", Path("red.png"), step)
            time.sleep(wait)
        run.metrics({"accuracy": 0.5})
        run.artefact(Path("params.yaml"), "graph")


def told(client: mlflow.MlflowClient, run: Any, steps: int = 5) -> None:
    """All of it is there, once."""
    history = client.get_metric_history(run.info.run_id, "train/loss_d")
    assert [(point.step, point.value) for point in history] == [(step, step / 7) for step in range(steps)]
    assert len({point.timestamp for point in history}) > 1 or steps < 3  # true times, not those of the delivery
    assert [point.value for point in client.get_metric_history(run.info.run_id, "accuracy")] == [0.5]
    pictures = Counter(item.path.split("+")[2] for item in client.list_artifacts(run.info.run_id, "images"))
    assert len(pictures) == steps and set(pictures.values()) == {2}  # each with a thumbnail
    assert [item.path for item in client.list_artifacts(run.info.run_id, "graph")] == ["graph/params.yaml"]
    assert run.info.status == "FINISHED"
    assert run.data.params["train.width"] == "32"


def runs(uri: str) -> tuple[mlflow.MlflowClient, list[Any]]:
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("ganpipe")
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]) if experiment else []
    return client, list(found)


def test_a_server_that_is_down_costs_nothing_and_gets_all_of_it_later(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.kill()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    tell(wait=0.01)
    said = capsys.readouterr().err
    assert "MLflow does not take it" in said or "make sync" in said
    Path("red.png").unlink()  # what the run named is kept for it
    (noting,) = journal.root().iterdir()
    server.start()
    assert sweep(mlflow).brought == 1
    client, (run,) = runs(server.url)
    told(client, run)
    assert not noting.exists()
    assert sweep(mlflow).brought == 0
    assert len(runs(server.url)[1]) == 1


def test_a_server_that_dies_midway_and_comes_back_has_each_point_once(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if server.process is None:
        server.start()
    before = len(runs(server.url)[1])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    working = threading.Thread(target=tell, args=(40, 0.1, "xyz"))
    working.start()
    while len(runs(server.url)[1]) == before:
        time.sleep(0.1)
    time.sleep(0.5)
    server.kill()
    server.start()
    working.join()
    sweep(mlflow)
    client, found = runs(server.url)
    assert len(found) == before + 1
    told(client, found[-1], 40)


CHILD = """
import sys, time
from pathlib import Path
from ganpipe.tracking import delivery
delivery.QUIET = 0.05
from ganpipe.tracking.run import track
with track("train", {"processed": "abc"}, name="told") as run:
    for step in range(30):
        run.tick({"step": step, "loss_d": step / 7})
        run.picture("samples", Path("red.png"), step)
        time.sleep(0.05)
    run.metrics({"accuracy": 0.5})
    run.artefact(Path("params.yaml"), "graph")
"""


def test_kills_leave_no_run_at_work_and_the_stage_goes_on_in_its_run() -> None:
    uri = f"sqlite:///{Path.cwd()}/mlflow.db"
    for kill in range(4):
        child = subprocess.Popen([sys.executable, "-c", CHILD], stderr=subprocess.DEVNULL)
        wanted = 6 * (kill + 1)
        while child.poll() is None:
            paths = list(journal.root().glob("*/events.jsonl")) if journal.root().exists() else []
            if paths and paths[0].read_bytes().count(b'"tick"') >= wanted:
                break
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        sweep(mlflow)  # as the next run of any stage does, or `make sync`
        client, (run,) = runs(uri)
        assert run.info.status == "KILLED"
        assert sweep(mlflow).brought == 0  # it is settled
    subprocess.run([sys.executable, "-c", CHILD], check=True, stderr=subprocess.DEVNULL)
    client, (run,) = runs(uri)
    told(client, run, 30)
    assert not list(journal.root().iterdir())


LONG_CHILD = """
import sys, time
from pathlib import Path
from ganpipe.tracking import delivery
delivery.QUIET, delivery.LONGEST_PAUSE = 0.05, 0.2
from ganpipe.tracking.run import track
steps, wait, checkpoint = int(sys.argv[1]), float(sys.argv[2]), Path("checkpoint")
with track("train", {"processed": "long"}, name="long") as run:
    for step in range(int(checkpoint.read_text()) if checkpoint.exists() else 0, steps):
        run.tick({"step": step, "loss_d": step / 7})
        if step % 20 == 0:
            run.picture("samples", Path("red.png"), step)
            checkpoint.with_suffix(".part").write_text(str(step))
            checkpoint.with_suffix(".part").rename(checkpoint)
        time.sleep(wait)
    run.metrics({"accuracy": 0.5})
"""


def test_kills_of_the_stage_and_of_the_server_at_random_lose_and_double_nothing(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if server.process is None:
        server.start()
    before = len(runs(server.url)[1])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    moments = random.Random(1)  # three of its kills are of the server, too
    for _ in range(17):
        child = subprocess.Popen([sys.executable, "-c", LONG_CHILD, "100000", "0.02"], stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.1, 3))
        if moments.random() < 0.2:
            server.kill()
            server.start()
        child.kill()
        child.wait()
    steps = int(Path("checkpoint").read_text()) + 30
    subprocess.run([sys.executable, "-c", LONG_CHILD, str(steps), "0"], check=True, stderr=subprocess.DEVNULL)
    sweep(mlflow)
    client, found = runs(server.url)
    assert len(found) == before + 1
    run = found[-1]
    assert (run.info.status, run.data.metrics["accuracy"]) == ("FINISHED", 0.5)
    history = client.get_metric_history(run.info.run_id, "train/loss_d")
    assert Counter((point.step, point.value) for point in history) == Counter((n, n / 7) for n in range(steps))
    pictures = Counter(int(item.path.split("+")[2]) for item in client.list_artifacts(run.info.run_id, "images"))
    assert pictures == dict.fromkeys(range(0, steps, 20), 2)  # each with a thumbnail
    assert not list(journal.root().iterdir())


def test_one_that_is_at_work_is_left_alone() -> None:
    with track("train", {"processed": "abc"}) as run:
        run.tick({"step": 1, "loss_d": 1.0})
        time.sleep(0.5)
        assert sweep(mlflow).brought == 0
        _, (found,) = runs(f"sqlite:///{Path.cwd()}/mlflow.db")
        assert found.info.status == "RUNNING"


def test_nothing_is_kept_of_a_stage_that_was_killed_before_it_told_anything() -> None:
    noting = journal.Journal(journal.root() / "abc")
    assert noting.take()
    noting.close()
    assert sweep(mlflow) == (0, {})
    assert not noting.folder.exists()


def test_a_finished_run_that_waits_is_not_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(module.Courier, "run", lambda self: None)  # nothing is delivered
    tell(2)
    tell(2)
    assert len(list(journal.root().iterdir())) == 2
    assert sweep(mlflow).brought == 2
    client, found = runs(f"sqlite:///{Path.cwd()}/mlflow.db")
    assert len(found) == 2
    for run in found:
        told(client, run, 2)


def test_a_run_that_somebody_deleted_is_told_anew() -> None:
    uri = f"sqlite:///{Path.cwd()}/mlflow.db"
    with pytest.raises(KeyboardInterrupt), track("train", {"processed": "abc"}, name="told") as run:
        run.tick({"step": 0, "loss_d": 0.0})
        raise KeyboardInterrupt
    client, (gone,) = runs(uri)
    client.delete_run(gone.info.run_id)
    tell(3)
    client, (run_,) = runs(uri)
    assert run_.info.run_id != gone.info.run_id
    assert [point.step for point in client.get_metric_history(run_.info.run_id, "train/loss_d")] == [0, 1, 2]


@pytest.mark.parametrize("copy", [False, True])
def test_the_best_of_several_trainings_has_the_alias(copy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a worse one comes later, and in a temporary copy; the test set decides nothing."""
    uri = f"sqlite:///{Path.cwd()}/mlflow.db"
    if copy:
        mlflow.set_tracking_uri("sqlite:///elsewhere.db")
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = Path(".dvc/tmp/exps/standalone/tmpxyz")
        folder.mkdir(parents=True)
        shutil.copy("params.yaml", folder)
        monkeypatch.chdir(folder)
    monkeypatch.setattr(registry, "log_model", _log_any_model)
    for weights, validation, test in (("a", 0.6, 0.7), ("b", 0.8, 0.5), ("c", 0.7, 0.9)):
        with track("train", {"processed": weights}, name=weights) as run:
            run.tags({MODEL: weights})
            assert run._journal is not None
            run.note("model", folder=run._journal.keep(Path("params.yaml")))
        with track("evaluate", {"weights": weights}, parent_of=weights) as run:
            figures = {"accuracy_validation": validation, "accuracy": test, "accuracy_random_init": 0.4}
            run.measured("digits", figures)
    client, found = runs(uri)
    parents = {run.info.run_name: run for run in found if run.data.tags["ganpipe.stage"] == "train"}
    best = client.get_model_version_by_alias("ganpipe-default", "best")
    assert (best.run_id, best.description) == (parents["b"].info.run_id, "b")
    assert parents["c"].data.metrics["best/accuracy_validation"] == 0.7
    note = parents["b"].data.tags["mlflow.note.content"]
    assert "**digits**: 50.0% on test, untrained 40.0%." in note


def test_what_is_damaged_on_the_way_is_given_up_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sync` makes another run from the stage's files, for none of it has ended."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    tell()
    (noting,) = journal.root().iterdir()
    (picture,) = noting.glob("*.png")
    picture.write_bytes(picture.read_bytes()[:-1] + b"x")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"sqlite:///{Path.cwd()}/mlflow.db")
    swept = sweep(mlflow)
    assert (swept.brought, swept.failed) == (0, {})
    assert f"{picture.name} is damaged: `make sync` makes a run" in capsys.readouterr().err
    assert not noting.exists()
    assert [run.info.status for run in runs(uri)[1]] == ["KILLED"]


@pytest.mark.parametrize("damage", ["page", "cut", "other"])
def test_a_damaged_database_is_named_with_what_to_do(damage: str) -> None:
    path = Path.cwd() / "mlflow.db"
    data = path.read_bytes()
    if damage == "page":
        path.write_bytes(data[: 4096 * 8] + bytes(range(256)) * 256 + data[4096 * 24 :])
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"no database" * 1000)
    with pytest.raises(UserError, match=r"mlflow\.db is damaged .*remove .*mlflow\.db and run `make sync`"):
        sync()


def test_a_store_that_takes_nothing_is_named_and_keeps_nothing_from_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(module.Courier, "run", lambda self: None)  # nothing is delivered
    lost = ("http://127.0.0.1:9", "postgresql://nobody:secret@127.0.0.1/none", "nonsense://x")
    for number, store in enumerate((*lost, "")):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
        tell(2, inputs=str(number))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(UserError, match=r"what was told to http://127.0.0.1:9 \(.* could not be sent: run") as told_of:
        sync()
    for store in ("http://127.0.0.1:9", "postgresql://127.0.0.1/none", "nonsense://x"):
        assert store in str(told_of.value)
    assert "secret" not in str(told_of.value)
    client, found = runs(f"sqlite:///{Path.cwd()}/mlflow.db")
    assert len(found) == 1
    told(client, found[0], 2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path.cwd()}/mlflow.db")  # as the sentence says
    assert sync()[0] == 3
    assert len(runs(f"sqlite:///{Path.cwd()}/mlflow.db")[1]) == 4


@pytest.mark.parametrize("uri", ["postgresql://nobody@127.0.0.1/none", "nonsense://x"])
def test_a_store_that_is_none_gets_a_sentence(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="does not take it"):
        sync()


def test_the_order_of_measurements_does_not_decide_which_is_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "log_model", _log_any_model)
    uri = f"sqlite:///{Path.cwd()}/mlflow.db"
    for weights in ("a", "b"):
        with track("train", {"processed": weights}, name=weights) as run:
            run.tags({MODEL: weights})
            assert run._journal is not None
            run.note("model", folder=run._journal.keep(Path("params.yaml")))
    for weights, labelled, validation in (("a", "cifar10", 0.8), ("b", "cifar10", 0.7), ("b", "svhn", 0.6)):
        with track("evaluate", {"weights": weights, "set": labelled}, parent_of=weights) as run:
            run.measured(labelled, {"accuracy_validation": validation, "accuracy": 0.5})
    client, found = runs(uri)
    parents = {run.info.run_name: run.info.run_id for run in found if run.data.tags["ganpipe.stage"] == "train"}
    assert client.get_model_version_by_alias("ganpipe-default", "best").run_id == parents["a"]


def _log_any_model(client_of: Any, store: str, run: str, folder: Path) -> None:
    client = mlflow.MlflowClient(store)
    experiment = client.get_run(run).info.experiment_id
    model = client.create_logged_model(experiment, "generator", source_run_id=run)
    client.log_outputs(run, [mlflow.entities.LoggedModelOutput(model.model_id, 0)])
    client.finalize_logged_model(model.model_id, "READY")
