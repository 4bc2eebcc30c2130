from pathlib import Path
from typing import Any

import pytest
import yaml

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
    out = {"path": str(path), "md5": "99914b932bd37a50b983c5e7c90ae93b"}
    assert sync._is_here(out)
    path.write_text("{ }")
    assert not sync._is_here(out)
