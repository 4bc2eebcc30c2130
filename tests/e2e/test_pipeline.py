"""The real `dvc repro` in a temporary copy of the project, on real digits, with real MLflow. In the order given."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from support.bucket import bucket
from support.graph import ROOT

COPIED = ["params.yaml", "dvc.yaml", ".dvcignore", ".gitignore", "stages", "src", ".dvc/config", ".dvc/.gitignore"]
TINY: dict[str, dict[str, Any]] = {
    "download": {"name": "digits"},
    "dedupe": {"planted": 100},
    "train": {"width": 4, "steps": 30, "batch_size": 32, "tick": 10, "sample_every": 20},
    "evaluate": {"datasets": ["digits"], "C": [0.001, 0.01]},
}
ALL = ["download", "evaluation_sets", "dedupe", "preprocess", "train", "evaluate@digits"]


class Project:
    """A copy of the project under git and DVC, and what can be done with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: str | None = None  # instead of the project's own mlflow.db
        for name in COPIED:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(ROOT / name, place)
        for section, values in TINY.items():
            self.set(section, **values)
        self.run("git", "init", "-q")
        self.run("git", "config", "user.name", "Test")
        self.run("git", "config", "user.email", "test@example.invalid")
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "start")

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "GANPIPE_", "DVC_"))}
        store = {} if self.store is None else {"MLFLOW_TRACKING_URI": self.store}
        return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **store}

    def run(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def set(self, section: str, **values: Any) -> None:
        path = self.folder / "params.yaml"
        content = yaml.safe_load(path.read_text())
        content[section].update(values)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def repro(self, code: int = 0) -> tuple[list[str], str]:
        """The stages that ran, in order, and what was printed."""
        out = self.run("dvc", "repro", code=code)
        return [line.split("'")[1] for line in out.splitlines() if line.startswith("Running stage")], out

    def json(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / name).read_text())
        return content

    def locked(self, stage: str) -> dict[str, str]:
        """Checksums of a stage's outputs."""
        outs = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"][stage]["outs"]
        return {out["path"]: out["md5"] for out in outs}

    def mlflow_runs(self, stage: str) -> list[Any]:
        client = self.client()
        experiment = client.get_experiment_by_name("ganpipe")
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id], f"tags.`ganpipe.stage` = '{stage}'")
        return sorted(found, key=lambda run: run.info.start_time)

    def client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(self.store or f"sqlite:///{self.folder / 'mlflow.db'}")


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
    ):
        assert Image.open(project.folder / picture).size[0] > 100
    assert len((project.folder / "plots/train.csv").read_text().splitlines()) == 4
    assert len((project.folder / "plots/evaluate/digits/predictions.csv").read_text().splitlines()) == 361


def test_mlflow_holds_a_parent_with_its_evaluation_nested(project: Project) -> None:
    (parent,), (nested,) = project.mlflow_runs("train"), project.mlflow_runs("evaluate")
    assert nested.data.tags["mlflow.parentRunId"] == parent.info.run_id
    accuracy = project.json("metrics/evaluate/digits.json")["accuracy"]
    assert parent.data.metrics["digits/accuracy"] == nested.data.metrics["digits/accuracy"] == accuracy
    assert parent.data.params["train.width"] == "4"
    assert parent.data.params["dedupe.planted"] == "100"
    history = project.client().get_metric_history(parent.info.run_id, "train/loss_d")
    assert [point.step for point in history] == [10, 20, 30]
    models = {item.path for item in project.client().list_artifacts(parent.info.run_id, "gan")}
    assert {"gan/generator.safetensors", "gan/discriminator.safetensors", "gan/config.json"} <= models
    assert project.client().list_artifacts(parent.info.run_id, "images")
    assert {run.info.status for stage in ("download", "dedupe", "train") for run in project.mlflow_runs(stage)} == {
        "FINISHED"
    }


def test_nothing_is_run_twice(project: Project) -> None:
    ran, out = project.repro()
    assert ran == []
    assert "Data and pipelines are up to date" in out


@pytest.mark.parametrize(
    ("section", "change", "expected"),
    [
        ("evaluate", {"seed": 1}, ["evaluate@digits"]),
        ("train", {"steps": 40}, ["train", "evaluate@digits"]),
        # dHash keeps other images than the semantic hash, so all that follows runs.
        ("dedupe", {"method": "dhash", "radius": 1}, ["dedupe", "preprocess", "train", "evaluate@digits"]),
    ],
)
def test_a_change_runs_what_depends_on_it_and_no_more(
    project: Project, section: str, change: dict[str, Any], expected: list[str]
) -> None:
    project.set(section, **change)
    assert project.repro()[0] == expected


def test_going_back_runs_nothing(project: Project) -> None:
    project.run("git", "checkout", "-q", "params.yaml")
    ran, out = project.repro()
    assert ran == [], out
    assert "is cached - skipping run" in out


def test_an_empty_store_is_filled_from_the_files(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where DVC brings back from its cache what another machine has run."""
    before = project.mlflow_runs("train")[0]  # that of the settings that are there again
    monkeypatch.setattr(project, "store", f"sqlite:///{project.folder / 'empty.db'}")
    assert "made from files: download, dedupe, preprocess, train, evaluate@digits" in project.run("ganpipe", "sync")
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
    assert project.run("dvc", "--cd", clone, "status", "-q") == ""
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
    assert project.repro()[0] == ["evaluation_sets", "dedupe", "preprocess", "train", "evaluate@folder"]
    figures = project.json("metrics/evaluate/folder.json")
    assert (figures["train_images"], figures["test_images"]) == (160, 40)
    assert figures["accuracy"] > 0.6
    project.set("evaluate", seed=1)
    assert project.repro()[0] == ["evaluate@folder"]
    project.run("git", "checkout", "-q", "params.yaml")
    assert project.repro()[0] == []


def test_a_training_killed_by_sigkill_continues_to_the_same_bytes_in_one_run(project: Project) -> None:
    project.set("train", seed=5, steps=200)
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
    assert ran == ["train", "evaluate@digits"]
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
