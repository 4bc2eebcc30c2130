"""Targets of the Makefile that do something by themselves."""

import shutil
import subprocess
from pathlib import Path

from support.graph import ROOT


def test_cleaning_leaves_what_mlflow_has_not_been_told(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (".ckpt/tracking/run/events.jsonl", ".ckpt/train/step.pt", ".mypy_cache/x", "models/gan/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["make", "clean"], check=True, cwd=tmp_path, capture_output=True)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"Makefile", ".ckpt/tracking/run/events.jsonl", "models/gan/config.json"}
