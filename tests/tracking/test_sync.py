from pathlib import Path
from typing import Any

import pytest
import yaml

from ganpipe.errors import UserError
from ganpipe.tracking import sync

SECTIONS: dict[str, dict[str, Any]] = {
    "download": {"name": "digits"},
    "preprocess": {"side": 32},
    "train": {"width": 4},
    "evaluate": {"weights": None, "average": False},
}
OUTS = {
    "download": "data/raw/digits",
    "preprocess": "data/processed",
    "train": "models/gan",
    "evaluate@digits": "plots/e",
}


def lock(**deps: list[dict[str, str]]) -> None:
    """A dvc.lock of these stages, whose outputs are here, if empty."""
    stages = {}
    for name, out in OUTS.items():
        section = name.partition("@")[0]
        Path(out).mkdir(parents=True)
        stages[name] = {
            "deps": deps.get(section, []),
            "params": {"params.yaml": {section: SECTIONS[section]}},
            "outs": [{"path": out, "md5": f"{section}.dir"}],
        }
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": stages}))


def test_a_stage_whose_inputs_are_not_here_is_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    """As after a partial `dvc pull`, or where a training was killed that had removed the model of the one before."""
    lock()
    Path("data/evaluation/digits").mkdir(parents=True)
    Path("data/evaluation/digits/manifest.json").write_text("{}")
    assert [stage.name for stage in sync.locked()] == ["download"]
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" is left out: ")[0] for line in told] == ["preprocess", "train", "evaluate@digits"]
    assert "data/raw/digits has no manifest.json" in told[0]
    assert "models/gan holds no config.json" in told[2]


def test_a_set_that_was_measured_on_an_earlier_model_is_no_result_of_this_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lock(evaluate=[{"path": "models/gan", "md5": "another.dir"}])
    assert "evaluate@digits" not in [stage.name for stage in sync.locked()]
    assert "evaluate" not in capsys.readouterr().err


def test_a_changed_file_is_no_output_of_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text("{}")
    assert sync._is_here(path, "99914b932bd37a50b983c5e7c90ae93b")
    path.write_text("{ }")
    assert not sync._is_here(path, "99914b932bd37a50b983c5e7c90ae93b")


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\nstages:\n", "schema: '2.0'\n", "", "stages: {train: [1]}\n"])
def test_a_lock_that_cannot_be_read_gets_a_sentence(text: str) -> None:
    """As in the midst of a merge."""
    Path("dvc.lock").write_text(text)
    with pytest.raises(UserError, match=r"dvc\.lock is not as DVC writes it \(.*\): git checkout dvc\.lock"):
        list(sync.locked())


def test_the_password_of_a_server_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("params.yaml").write_text("train: {}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ben:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=r"MLflow at http://127\.0\.0\.1:9 does not take it \(API request to") as told:
        sync.sync()
    assert "secret" not in str(told.value)
