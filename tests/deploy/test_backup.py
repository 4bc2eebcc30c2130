"""deploy/backup.sh, what it refuses before it does anything; test_server.py makes and restores real dumps."""

import subprocess
from pathlib import Path

import pytest

from support.graph import ROOT


@pytest.mark.parametrize("keep", ["", "0", "-1", "all"])
def test_a_number_of_dumps_that_would_keep_none_is_refused(keep: str, tmp_path: Path) -> None:
    (tmp_path / "mlflow-20260101T000000Z.dump").touch()
    command = ["sh", str(ROOT / "deploy/backup.sh"), str(tmp_path), keep]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"KEEP is {keep}: it is how many dumps stay, the new one among them, from 1\n"
    assert len(list(tmp_path.iterdir())) == 1
