"""The real `dvc repro` in a temporary copy of the project, on real digits, with real MLflow. In the order given."""

import json
import os
import shutil
import signal
import subprocess
import time
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from support.bucket import bucket
from support.project import ALL, QUICK, Project
from support.server import WebServer, free_port


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("e2e") / "project")


def test_the_first_run_makes_everything(project: Project) -> None:
    ran, _ = project.repro()
    assert ran == ALL
    assert project.json("data/raw/digits/manifest.json")["count"] == 1797
    kept = project.json("metrics/dedupe.json")["kept"]
    assert 1000 < kept < 1437  # digits of one class are near-duplicates to a hash made for photographs
    images = np.load(project.folder / "data/processed/images-00000.npy", mmap_mode="r")
    assert images.shape == (kept, 32, 32, 3) and images.dtype == np.uint8
    figures = project.json("metrics/evaluate/digits.json")
    assert figures["features"] == 896  # a 32nd of the paper's 28,672
    assert figures["duality_gap"] <= 1e-3
    for name in ("accuracy", "accuracy_pixels", "accuracy_random_init"):
        assert 0.8 < figures[name] <= 1
    for picture in (
        "data/deduped/groups.png",
        "data/deduped/calibration.png",
        "models/gan/samples/step-000000020.png",
        "models/gan/samples.png",
        "plots/analyse/walks.png",
        "plots/analyse/neighbours.png",
    ):
        assert Image.open(project.folder / picture).size[0] > 100
    assert len((project.folder / "plots/train.csv").read_text().splitlines()) == 4
    assert len((project.folder / "plots/evaluate/digits/predictions.csv").read_text().splitlines()) == 361


def test_mlflow_holds_a_parent_with_its_evaluation_nested(project: Project) -> None:
    (parent,), (nested,) = project.mlflow_runs("train"), project.mlflow_runs("evaluate")
    (analysis,) = project.mlflow_runs("analyse")
    for run in (nested, analysis):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    nearest = project.json("metrics/analyse.json")["nearest_median"]
    assert parent.data.metrics["analyse/nearest_median"] == analysis.data.metrics["analyse/nearest_median"] == nearest
    pictures = {item.path for item in project.client().list_artifacts(analysis.info.run_id, "analyse")}
    assert "analyse/walks.gif" in pictures
    accuracy = project.json("metrics/evaluate/digits.json")["accuracy"]
    assert parent.data.metrics["digits/accuracy"] == nested.data.metrics["digits/accuracy"] == accuracy
    assert parent.data.params["train.width"] == "4"
    assert parent.data.params["dedupe.planted"] == "100"
    history = project.client().get_metric_history(parent.info.run_id, "train/loss_d")
    assert [point.step for point in history] == [10, 20, 30]
    models = {item.path for item in project.client().list_artifacts(parent.info.run_id, "gan")}
    assert {"gan/generator.safetensors", "gan/discriminator.safetensors", "gan/config.json"} <= models
    assert project.client().list_artifacts(parent.info.run_id, "images")
    stages = ("download", "dedupe", "train", "evaluate", "analyse")
    assert {run.info.status for stage in stages for run in project.mlflow_runs(stage)} == {"FINISHED"}


def test_nothing_is_run_twice(project: Project) -> None:
    ran, out = project.repro()
    assert ran == []
    assert "Data and pipelines are up to date" in out


def test_a_change_runs_what_depends_on_it_and_no_more(project: Project) -> None:
    # What depends on more is asked below, where a set of one's own changes nearly all, and a training what follows it.
    project.set("evaluate", **QUICK["evaluate"])
    assert project.repro()[0] == ["evaluate@digits"]


def test_going_back_runs_nothing(project: Project) -> None:
    project.run("git", "checkout", "-q", "params.yaml")
    ran, out = project.repro()
    assert ran == [], out
    assert "is cached - skipping run" in out


def test_an_empty_store_is_filled_from_the_files(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where DVC brings back from its cache what another machine has run."""
    before = project.mlflow_runs("train")[0]  # that of the settings that are there again
    monkeypatch.setattr(project, "store", f"sqlite:///{project.folder / 'empty.db'}")
    made = "made from files: download, dedupe, preprocess, train, evaluate@digits, analyse"
    assert made in project.run("ganpipe", "sync")
    (parent,), (nested,) = project.mlflow_runs("train"), project.mlflow_runs("evaluate")
    assert parent.data.tags["ganpipe.key"] == before.data.tags["ganpipe.key"]
    assert parent.data.params == before.data.params
    assert nested.data.tags["mlflow.parentRunId"] == parent.info.run_id
    figures = project.json("metrics/evaluate/digits.json")  # `before` may hold those of another evaluation since
    assert parent.data.metrics["digits/accuracy"] == figures["accuracy"]
    assert parent.data.metrics["best/accuracy_validation"] == figures["accuracy_validation"]
    assert parent.data.metrics["train/loss_d"] == before.data.metrics["train/loss_d"]
    assert 0 <= parent.data.metrics["digits/class/7"] <= 1
    history = project.client().get_metric_history(parent.info.run_id, "train/loss_d")
    assert [point.step for point in history] == [10, 20, 30]
    assert "made from files" not in project.run("ganpipe", "sync")
    assert len(project.mlflow_runs("train")) == 1


def test_the_best_training_can_be_loaded_by_its_name(project: Project) -> None:
    program = """
import mlflow, numpy as np
model = mlflow.pyfunc.load_model("models:/ganpipe-default@best")
images = model.predict(np.zeros((3, 256), np.float32))
print(images.shape, images.dtype, model.metadata.signature.inputs.is_tensor_spec())
"""
    uri = f"import os; os.environ['MLFLOW_TRACKING_URI'] = 'sqlite:///{project.folder}/mlflow.db'"
    assert "(3, 32, 32, 3) uint8 True" in project.run("python", "-c", uri + program)


def test_it_can_be_served_by_mlflow(project: Project) -> None:
    command = ["mlflow", "models", "serve", "--model-uri", "models:/ganpipe-default@best", "--env-manager", "local"]
    store, port = f"sqlite:///{project.folder}/mlflow.db", free_port()
    surroundings = {**project.environment(), "MLFLOW_TRACKING_URI": store}
    server = WebServer([*command, "--port", str(port)], project.folder.parent, port, surroundings)
    try:
        server.start()
        answer = httpx.post(f"{server.url}/invocations", json={"inputs": np.zeros((2, 256)).tolist()}, trust_env=False)
    finally:
        server.kill()
    images = np.array(answer.json()["predictions"])
    assert images.shape == (2, 32, 32, 3)
    assert (images[0] == images[1]).all()
    assert images.max() <= 255


def test_dvc_shows_metrics_curves_and_pictures(project: Project) -> None:
    plots = json.loads(project.run("dvc", "plots", "show", "--json"))["data"]
    of_set = {f"plots/evaluate/digits/{name}" for name in ("confusion.png", "mistakes.png", "bars.png", "classes.csv")}
    assert {"losses", "discriminator", "health", "gradients", "models/gan/samples.png", *of_set} <= set(plots)
    shown = json.loads(project.run("dvc", "metrics", "show", "--json"))[""]["data"]
    figures = shown["metrics/evaluate/digits.json"]["data"]
    assert figures == project.json("metrics/evaluate/digits.json")


def test_a_fresh_clone_gets_everything_from_an_object_store_and_runs_nothing(project: Project) -> None:
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "results")
    with bucket("dvc") as endpoint:
        for folder in (project.folder, project.folder.parent / "clone"):
            if not folder.exists():
                project.run("git", "clone", "-q", str(project.folder), str(folder))
            for setting in (("add", "-d", "store", "s3://dvc/cache"), ("modify", "store", "endpointurl", endpoint)):
                project.run("dvc", "--cd", str(folder), "remote", setting[0], "--local", *setting[1:])
        project.run("dvc", "push", "--run-cache", "-q")
        clone = str(project.folder.parent / "clone")
        said = project.run("dvc", "--cd", clone, "repro", "--pull", "--allow-missing", "--dry")
        assert "Running stage" not in said and "up to date" in said
        project.run("dvc", "--cd", clone, "pull", "--run-cache", "-q")
    assert project.run("dvc", "--cd", clone, "status") == "Data and pipelines are up to date.\n"
    for path in ("models/gan/generator.safetensors", "data/processed/images-00000.npy"):
        assert (project.folder.parent / "clone" / path).read_bytes() == (project.folder / path).read_bytes()
    project.run("git", "reset", "-q", "--soft", "HEAD~1")


def test_a_comment_in_the_tracking_code_runs_nothing(project: Project) -> None:
    with (project.folder / "src/ganpipe/tracking/run.py").open("a") as file:
        file.write("# a comment\n")
    assert project.repro()[0] == []


def test_a_folder_of_ones_own_is_packed_once_and_measured_on(project: Project) -> None:
    digits = load_digits()
    for number, (pixels, digit) in enumerate(zip(digits.images[:200], digits.target, strict=False)):
        place = project.folder.parent / f"zoo/{digit}/{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype(np.uint8)).save(place)
    project.set("evaluate", datasets=["folder"], path=str(project.folder.parent / "zoo"))
    assert project.repro()[0] == ["evaluation_sets", "dedupe", "preprocess", "train", "evaluate@folder", "analyse"]
    figures = project.json("metrics/evaluate/folder.json")
    assert (figures["train_images"], figures["test_images"]) == (160, 40)
    assert figures["accuracy"] > 0.6
    project.set("evaluate", seed=1)
    assert project.repro()[0] == ["evaluate@folder"]
    project.run("git", "checkout", "-q", "params.yaml")
    assert project.repro()[0] == []


def test_a_training_killed_by_sigkill_continues_to_the_same_bytes_in_one_run(project: Project) -> None:
    project.set("train", seed=5, steps=200)
    project.set("evaluate", **QUICK["evaluate"])
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=project.folder,
        env=project.environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    before = set(project.folder.glob(".ckpt/train/*"))
    deadline = time.monotonic() + 120
    while not any(list(new.glob("step-*.pt")) for new in set(project.folder.glob(".ckpt/train/*")) - before):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (project.folder / "models/gan").exists()

    ran, out = project.repro()
    assert ran == ["train", "evaluate@digits", "analyse"]
    assert "continuing at step" in out
    killed = project.locked("train")
    run = project.mlflow_runs("train")[-1]
    steps = [point.step for point in project.client().get_metric_history(run.info.run_id, "train/loss_d")]
    assert steps == list(range(10, 201, 10))
    assert run.info.status == "FINISHED"

    shutil.rmtree(project.folder / ".ckpt")
    out = project.run("dvc", "repro", "--force", "--single-item", "train")
    assert "continuing" not in out
    assert project.locked("train") == killed


@pytest.mark.parametrize(
    ("section", "change", "sentence"),
    [
        ("train", {"step": 3}, "error: params.yaml: train.step is no setting, did you mean train.steps?"),
        ("train", {"batch_size": 5000}, "error: train.batch_size is 5000, but the corpus holds"),
        ("evaluate", {"tolerance": 0}, "error: params.yaml: evaluate.tolerance: input should be greater than 0, not 0"),
    ],
)
def test_a_users_mistake_gets_a_sentence(project: Project, section: str, change: dict[str, Any], sentence: str) -> None:
    project.run("git", "checkout", "-q", "params.yaml")
    project.set(section, **change)
    _, out = project.repro(code=255)
    assert sentence in out
    assert "Traceback" not in out
