"""A few rounds of a hostile day, of seeds that are drawn once, so that the script stays alive."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("chaos.py")


def test_three_rounds_end_as_undisturbed_or_in_a_sentence() -> None:
    command = [sys.executable, str(SCRIPT), "--rounds", "3", "--until", "download", "--only", "network", "file"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n  ") == 3 and "VIOLATION" not in done.stdout
