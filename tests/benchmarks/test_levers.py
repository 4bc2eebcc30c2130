import ast
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import levers
import numpy as np
import pytest

from ganpipe.corpus.shards import Images
from ganpipe.evaluation.judge import Judge
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.models.dcgan import ARCHITECTURES, Discriminator

ALONE: dict[str, dict[str, Any]] = {"paper": {}, "flip": {"flip": True}, "mean": {"pooling": "mean"}}


def measured(
    project: Path, monkeypatch: pytest.MonkeyPatch, *options: str, alone: dict[str, dict[str, Any]] = ALONE
) -> dict[str, Any]:
    """With two levers of the probe instead of all, and on a thousand images."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(levers, "alone_for", lambda _: alone)
    monkeypatch.setattr(levers, "QUICK", 1000)
    words = ["levers.py", "released/tiny/paper", "--quick", "--json", "levers.json", *options]
    monkeypatch.setattr(sys, "argv", words)
    levers.main()
    found: dict[str, Any] = json.loads(Path("levers.json").read_text())["figures"]
    return found


def test_each_lever_is_measured_and_the_chosen_one_shown_the_test_set(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = measured(project, monkeypatch)
    alone = {name: found[f"validation_{name}"] for name in ("paper", "flip", "mean")}
    assert all(0.5 < accuracy <= 1 for accuracy in alone.values())
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("chosen: {"))
    best = max(alone, key=lambda name: alone[name])
    assert ALONE[best].items() <= ast.literal_eval(line.removeprefix("chosen: ")).items()
    assert 0.5 < found["test_chosen"] <= 1 and found["test_chosen_duality_gap"] <= 0.0011


def test_without_the_test_set_it_is_not_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Images.labels

    def reading(images: Images, split: str) -> np.ndarray:
        assert split == "train"
        return read(images, split)

    monkeypatch.setattr(Images, "labels", reading)
    found = measured(project, monkeypatch, "--no-test")
    assert {name for name in found if name.startswith("test")} == set()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_levers_suit_a_discriminator_of_any_layers(architecture: str) -> None:
    count = len(Discriminator(2, architecture).convs)
    alone = levers.alone_for(count)
    assert {len(changes["layer_weights"]) for changes in alone.values() if "layer_weights" in changes} == {count}
    assert all(max(changes["layers"]) == count for changes in alone.values() if "layers" in changes)
    for changes in alone.values():
        EvaluateParams.model_validate({**levers.PAPER, **changes})


def test_of_layers_and_their_weights_one_lever_is_taken(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Together they would need as many weights as there are layers chosen."""
    both: dict[str, dict[str, Any]] = {
        "paper": {"flip": True},
        "weights": {"layer_weights": [1.0] * 6},
        "layers": {"layers": [2, 3, 4, 5, 6]},
    }
    accuracies = {"paper": 0.1, "weights": 0.2, "layers": 0.3}
    monkeypatch.setattr(Judge, "choose", lambda _, name, *__: SimpleNamespace(accuracy=accuracies[name]))
    measured(project, monkeypatch, "--no-test", alone=both)
    assert "chosen: {'layers': [2, 3, 4, 5, 6]}" in capsys.readouterr().out
