"""Whether dvc.lock fits the code and the settings, and whether the remote has what it names. Neither needs the data.

`make ci-lock` and `make ci-remote`: ends with a sentence, and with exit status 1 where it is not so.
"""

import json
import re
import subprocess
import sys
from typing import Any

from dvc.config import Config

from ganpipe.errors import UserError, entry

GONE = ("deleted", "not in cache")  # what DVC says of data that are not here
MOST = 5  # names in a sentence


@entry
def main() -> None:
    """Check what the argument says: fits, or pushed."""
    {"fits": fits, "pushed": pushed}[sys.argv[1]]()


def fits() -> None:
    """UserError naming the stages that `dvc repro` would run, and the figures that were not committed."""
    done = _dvc("repro", "--dry", "--allow-missing", "--keep-going")
    said = done.stdout + done.stderr
    lines = re.findall(r"^(?:Running stage '.+':|ERROR: failed to reproduce .+)$", said, re.MULTILINE)
    stages = [name for line in lines for name in re.findall(r"'([^']+)'", line)]
    if done.returncode and not stages:
        raise UserError(f"`dvc repro --dry --allow-missing` failed:\n{said.strip()}")
    found = _dvc("status", "--json")
    if found.returncode:
        raise UserError(f"`dvc status` failed:\n{found.stderr.strip()}")
    status: dict[str, list[Any]] = json.loads(found.stdout)
    faults = [f"{stage} would run{_why(status.get(stage, []))}" for stage in stages]
    faults += [
        f"{path} is not here: `git add` it"
        for stage, changes in status.items()
        for change in changes
        if isinstance(change, dict)
        for path, state in change.get("changed outs", {}).items()
        if path.startswith("metrics/") and state in GONE and stage not in stages
    ]
    if faults:
        raise UserError(f"dvc.lock does not fit: {'; '.join(faults)}. `dvc repro`, then commit dvc.lock and metrics/")
    print("dvc.lock fits the code and the settings")


def _why(changes: list[Any]) -> str:
    """What DVC finds changed of a stage, but for data that are not here."""
    names = []
    for change in changes:
        if not isinstance(change, dict):
            names.append(str(change))
            continue
        for path, state in change.get("changed deps", {}).items():
            names += list(state) if isinstance(state, dict) else [] if state in GONE else [path]
    return f" ({_some(names)})" if names else ""


def pushed() -> None:
    """UserError naming files that a fresh clone could not pull; a sentence where there is no remote to ask."""
    if not Config(".dvc")["core"].get("remote"):
        print(
            "no DVC remote is configured, so that nothing is asked for; `dvc remote add -d storage ADDRESS` makes one"
        )
        return
    found = _dvc("data", "status", "--not-in-remote", "--granular", "--json")
    if found.returncode:
        raise UserError(f"the DVC remote cannot be asked:\n{found.stderr.strip()}")
    missing: list[str] = json.loads(found.stdout).get("not_in_remote", [])
    if missing:
        raise UserError(f"not at the DVC remote: {_some(missing)}. `dvc push --run-cache` where they were made")
    print("the DVC remote has all that dvc.lock names")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def _dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["dvc", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
