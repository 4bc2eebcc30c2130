"""Studies by the real `dvc repro` in a copy of the project: each its own graph and experiment, the same stages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from support.command import ganpipe
from support.project import Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("studies") / "project")


def change(project: Project, study: str, **sections: dict[str, Any]) -> None:
    path = project.folder / f"studies/{study}/params.yaml"
    content = yaml.safe_load(path.read_text())
    for section, values in sections.items():
        content[section].update(values)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def repro(project: Project, study: str) -> list[str]:
    out = project.run("dvc", "--cd", f"studies/{study}", "repro")
    return [line.split("'")[1].split(":")[-1] for line in out.splitlines() if line.startswith("Running stage")]


def test_numbers_have_a_graph_and_an_experiment_of_their_own(project: Project) -> None:
    change(project, "gaussian", train={"steps": 20, "tick": 10, "sample_every": 10}, analyse={"samples": 1000})
    assert repro(project, "gaussian") == ["download", "train", "analyse"]
    assert repro(project, "gaussian") == []
    figures = project.json("studies/gaussian/metrics/analyse.json")
    assert 0 < figures["ks"] <= 1 and figures["mean_wanted"] == 4
    client = project.client()
    experiment = client.get_experiment_by_name("ganpipe-gaussian")
    assert experiment is not None and client.get_experiment_by_name("ganpipe") is None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["ganpipe.stage"]: run.info.status for run in runs} == {
        "download": "FINISHED",
        "train": "FINISHED",
        "analyse": "FINISHED",
    }
    (training,) = (run for run in runs if run.data.tags["ganpipe.stage"] == "train")
    assert training.data.metrics["analyse/ks"] == figures["ks"]
    assert len(client.search_logged_models([experiment.experiment_id])) == 1


def test_an_experiment_in_a_copy_is_told_to_the_same_store(project: Project) -> None:
    out = project.run("dvc", "--cd", "studies/gaussian", "exp", "run", "--temp", "-S", "train.steps=10")
    assert "Ran experiment(s)" in out
    client = project.client()
    experiment = client.get_experiment_by_name("ganpipe-gaussian")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`ganpipe.stage` = 'train'")
    assert {run.data.params["train.steps"] for run in runs} == {"10", "20"}


def test_what_is_brought_back_is_told_again(project: Project) -> None:
    """As after a restore from DVC's cache, where no stage's code runs."""
    (project.folder / "mlflow.db").unlink()
    out = project.run("sh", "-c", "cd studies/gaussian && ganpipe sync")
    assert "made from files: download, train, analyse" in out


def test_the_pipeline_is_silent_of_studies(project: Project) -> None:
    """DVC's tables are of one project: with the studies' settings in them nobody could read `dvc exp show`."""
    assert "studies" not in project.run("dvc", "exp", "show", "--csv") + project.run("dvc", "status")


def test_memorising_is_measured_by_step(project: Project) -> None:
    small = {"width": 2, "steps": 4, "keep_every": 2, "tick": 2, "sample_every": 2}
    change(
        project, "roses", download={"name": "digits"}, train=small, analyse={"samples": 30, "filters": 0, "walks": 2}
    )
    assert repro(project, "roses") == ["download", "dedupe", "preprocess", "train", "analyse"]
    lines = (project.folder / "studies/roses/plots/analyse/by_step.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "2", "4"]
    assert len(lines[0].split(",")) == 8
    figures = project.json("studies/roses/metrics/analyse.json")
    assert figures["held_out"] == "held_out"
    assert float(lines[-1].split(",")[1]) == figures["nearer_than_held_out"]


def test_pairs_are_translated_and_measured(project: Project, tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        (tmp_path / "pairs" / split).mkdir(parents=True)
        for number in range(count):
            pixels = source.integers(0, 256, (128, 256, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pairs" / split / f"{number}.png")
    small = {"network": "pix2pix128", "enlarged": 143, "width": 2, "steps": 3, "tick": 1, "sample_every": 2}
    change(
        project,
        "facades",
        download={"name": "folder", "path": str(tmp_path / "pairs")},
        preprocess={"side": 128},
        train=small,
    )
    assert repro(project, "facades") == ["download", "dedupe", "preprocess", "train", "analyse"]
    figures = project.json("studies/facades/metrics/analyse.json")
    assert figures["pairs"] == 2
    assert 0 < figures["l1"] < 1 and -1 <= figures["ssim"] <= 1
    assert project.json("studies/facades/metrics/preprocess.json") == {"images": 4, "side": 128, "held_out": 3}


def test_every_study_passes_its_check(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for study in sorted((project.folder / "studies").iterdir()):
        monkeypatch.chdir(study)
        done = ganpipe("check")
        assert done.returncode == 0, done.stdout + done.stderr
