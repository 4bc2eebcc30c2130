import ast
import json
import sys
from pathlib import Path
from typing import Any

import levers
import pytest


def measured(project: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, Any]:
    """With two levers of the probe instead of all, and on a thousand images."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(levers, "ALONE", {"paper": {}, "flip": {"flip": True}, "mean": {"pooling": "mean"}})
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
    assert levers.ALONE[best].items() <= ast.literal_eval(line.removeprefix("chosen: ")).items()
    assert 0.5 < found["test_chosen"] <= 1 and found["test_chosen_duality_gap"] <= 0.0011


def test_without_the_test_set_it_is_not_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(*_: Any) -> None:
        raise AssertionError("the test set was looked at")

    monkeypatch.setattr(levers, "tested", unexpected)
    found = measured(project, monkeypatch, "--no-test")
    assert {name for name in found if name.startswith("test")} == set()
