import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganpipe.compare.from_folder import read
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from support.compared import accuracies, png, write_folder, write_lock


@pytest.fixture
def lock() -> dict[str, Any]:
    """That of a project in the current folder."""
    return write_folder(Path())


def test_what_the_files_say(lock: dict[str, Any], tmp_path: Path) -> None:
    found = read(".")
    assert (found.name, found.place, found.key) == (tmp_path.name, "files in .", str(tmp_path))
    assert found.remarks == []
    assert found.parameters == {
        **{"download.name": "digits", "download.path": None, "dedupe.method": "whitened", "dedupe.radius": "auto"},
        **{"preprocess.side": "32", "train.width": "4", "train.steps": "30", "train.augment": "none"},
    }
    assert found.evaluations["digits"]["evaluate.datasets"] == "['digits']"
    assert found.figures == {
        **{"download/images": 1797, "download/rejected": 0, "dedupe/images": 1437, "dedupe/kept": 1168},
        **{"preprocess/images": 1168, "preprocess/side": 32, "train/loss_d": 0.6, "train/loss_g": 1.2},
        **{f"digits/{name}": value for name, value in accuracies(0.9, 360).items()},
        **{"digits/trained_on_this_set": 1.0, "digits/class/0": 0.97, "digits/class/1": 1.0},
    }
    assert found.curves == {
        "train/loss_d": [(10, 1.2), (20, 0.8), (30, 0.6)],
        "train/loss_g": [(10, 0.7), (30, 1.2)],
        "digits/accuracy_validation_by_step": [(15, 0.8), (30, 0.9)],
    }
    assert {step: sample.read() for step, sample in found.samples.items()} == {
        0: png("grey"),
        20: png("red"),
        30: png("blue"),
    }
    assert found.samples[20].size == len(png("red"))


def test_another_folder_is_read_as_well_and_needs_no_mlflow(tmp_path: Path) -> None:
    for name in ("main", "branch"):
        write_folder(tmp_path / name, train__width=4 if name == "main" else 8)
    code = (
        "import sys; from pathlib import Path; from ganpipe.compare.compare import compare\n"
        "compare(['../main', '.'], Path('out.html')); assert not {'mlflow', 'torch'} & sys.modules.keys()"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=tmp_path / "branch", check=False, capture_output=True, text=True)
    assert done.stderr == "out.html: the page, to open in a browser\n"
    assert "| `train.width` | `4` | `8` |" in done.stdout
    assert "`files in ../main`" in done.stdout
    assert (tmp_path / "branch/out.html").stat().st_size > 10_000


def test_the_commit_and_whether_it_was_changed(lock: dict[str, Any]) -> None:
    assert read(".").commit == ""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert read(".").commit == head[:8]
    write_lock(Path(), {**lock, "schema": "2.0 "})
    assert read(".").commit == f"{head[:8]} and changes"


def test_digests_of_the_data_that_is_here(lock: dict[str, Any], corpus: Images) -> None:
    assert read(".").data == {}
    Path("data").mkdir()
    Path("data/processed").symlink_to(corpus.folder)
    assert read(".").data == {"data/processed": corpus.digest}


@pytest.mark.parametrize(
    ("path", "lost"),
    [
        ("metrics/train.json", "train/loss_d"),
        ("metrics/dedupe.json", "dedupe/kept"),
        ("metrics/evaluate/digits.json", "digits/accuracy"),
        ("plots/evaluate/digits/classes.csv", "digits/class/0"),
        ("plots/train.csv", "curve train/loss_d"),
        ("plots/evaluate/digits/steps.csv", "curve digits/accuracy_validation_by_step"),
    ],
)
def test_what_dvc_lock_does_not_name_is_left_out_and_said(lock: dict[str, Any], path: str, lost: str) -> None:
    def known() -> set[str]:
        found = read(".")
        return set(found.figures) | {f"curve {name}" for name in found.curves}

    assert lost in known()
    Path(path).write_text(Path(path).read_text() + " ")
    assert lost not in known()
    assert read(".").remarks == [
        f"Not what dvc.lock names, and left out, `dvc repro` renews it: `{path}`.",
    ]
    Path(path).unlink()
    assert lost not in known()
    assert read(".").remarks == [f"Not here, `dvc pull` may bring it: `{path}`."]


def change(lock: dict[str, Any], stage: str, kind: str, path: str, md5: str) -> None:
    next(each for each in lock["stages"][stage][kind] if each["path"] == path)["md5"] = md5
    write_lock(Path(), lock)


def test_what_is_not_here_is_said_in_one_sentence(lock: dict[str, Any]) -> None:
    shutil.rmtree("plots")
    shutil.rmtree("models")
    (remark,) = read(".").remarks
    paths = ("plots/train.csv", "plots/evaluate/digits/classes.csv", "plots/evaluate/digits/steps.csv", "models/gan")
    assert remark == f"Not here, `dvc pull` may bring it: {', '.join(f'`{path}`' for path in paths)}."


def test_a_measurement_of_an_older_model_is_left_out_and_said(lock: dict[str, Any]) -> None:
    change(lock, "evaluate@digits", "deps", "models/gan", "0" * 32)
    found = read(".")
    assert found.evaluations == {}
    assert "digits/accuracy" not in found.figures
    assert found.remarks == ["`digits` was measured before the model was made anew, and is left out."]


def test_a_measurement_of_other_weights_is_left_out_and_said(lock: dict[str, Any]) -> None:
    lock["stages"]["evaluate@digits"]["params"]["params.yaml"]["evaluate"]["weights"] = "models/imported"
    write_lock(Path(), lock)
    found = read(".")
    assert found.evaluations == {}
    assert found.remarks == ["`digits` was measured with the weights in `models/imported`, and is left out."]


def test_settings_that_may_not_be_the_trainings_are_said(lock: dict[str, Any]) -> None:
    change(lock, "train", "deps", "data/processed", "0" * 32)
    assert read(".").remarks == [
        "`data/processed` was made anew since train read it: the settings may not be the training's."
    ]


def test_samples_of_another_model_are_left_out_and_said(lock: dict[str, Any]) -> None:
    Path("models/gan/config.json").write_text(json.dumps({"train": {"width": 5}}))
    found = read(".")
    assert found.samples == {}
    assert found.remarks == ["`models/gan` is of other settings than dvc.lock's: no samples."]
    Path("models/gan/config.json").unlink()
    found = read(".")
    assert found.samples == {}
    assert found.remarks == ["Not here, `dvc pull` may bring it: `models/gan`."]


def test_of_a_training_alone_there_are_no_measurements(lock: dict[str, Any]) -> None:
    del lock["stages"]["evaluate@digits"]
    write_lock(Path(), lock)
    found = read(".")
    assert found.evaluations == {}
    assert found.remarks == []


def without_training(lock: dict[str, Any]) -> None:
    del lock["stages"]["train"]
    write_lock(Path(), lock)


def damaged(path: str, content: str) -> Callable[[dict[str, Any]], None]:
    def spoil(lock: dict[str, Any]) -> None:
        Path(path).write_text(content)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lock: Path("dvc.lock").unlink(), "./here holds no dvc.lock: `dvc repro` there makes it"),
        (without_training, "here/dvc.lock holds no training: `dvc repro` there makes one"),
        (damaged("dvc.lock", "stages: ["), "here/dvc.lock is not valid YAML: while parsing a flow node"),
        (damaged("dvc.lock", "- a"), "here/dvc.lock is not as the pipeline writes it (TypeError): make it anew"),
        (damaged("dvc.lock", "stages: {train: {}}"), "here/dvc.lock is not as the pipeline writes it (KeyError)"),
        (damaged("dvc.lock", "stages: {train: {params: {params.yaml: 1}}}"), "here/dvc.lock is not as the pipeline"),
        (damaged("models/gan/config.json", "{"), "here/models/gan/config.json is not as the pipeline writes it"),
        (damaged("models/gan/config.json", "[]"), "here/models/gan/config.json is not as the pipeline writes it"),
    ],
)
def test_a_folder_that_cannot_be_read_is_a_sentence(
    lock: dict[str, Any], spoil: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    spoil(lock)
    (tmp_path / "here").symlink_to(".")
    with pytest.raises(UserError) as error:
        read("./here")
    assert message.removeprefix("./") in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"accuracy": 1' + "0" * 400 + "}", "\xff", '{"a": ' + "[" * 10**5])
def test_a_damaged_file_that_dvc_lock_names_is_a_sentence(lock: dict[str, Any], content: str) -> None:
    path = Path("metrics/evaluate/digits.json")
    path.write_text(content, encoding="latin-1")
    change(lock, "evaluate@digits", "outs", str(path), hashlib.md5(path.read_bytes()).hexdigest())
    with pytest.raises(UserError, match=r"^metrics/evaluate/digits\.json is not as the pipeline writes it \(\w+\): "):
        read(".")


def test_no_folder() -> None:
    with pytest.raises(UserError, match=r"^\.\./nope is no folder: name one that holds a dvc\.lock$"):
        read("../nope")
    Path("file").write_text("")
    with pytest.raises(UserError, match=r"^file is no folder"):
        read("file")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_a_sentence(lock: dict[str, Any]) -> None:
    Path("dvc.lock").chmod(0)
    with pytest.raises(UserError, match=r"^dvc\.lock cannot be read \(Permission denied\)"):
        read(".")


def test_a_set_whose_name_leads_elsewhere_is_passed_over(lock: dict[str, Any]) -> None:
    measured = lock["stages"].pop("evaluate@digits")
    path = Path("metrics/evaluate/../../secret.json")
    path.write_text('{"accuracy": 1}')
    measured["outs"] = [{"path": str(path), "md5": hashlib.md5(path.read_bytes()).hexdigest()}]
    lock["stages"]["evaluate@../../secret"] = measured
    write_lock(Path(), lock)
    assert read(".").evaluations == {}
