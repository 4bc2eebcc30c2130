"""Which code and which settings a run comes from, by git and DVC."""

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from ganpipe import files

LOCK = Path("dvc.lock")
SECONDS = 30  # that git may take: the first look at a large checkout reads all of it


def tags() -> dict[str, str]:
    """Git commit, whether the tree differed from it, what `dvc.lock` held, DVC's experiment and its baseline."""
    found = {
        "dvc.exp": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "dvc.lock": files.sha256(LOCK)[:16] if LOCK.exists() else "",
        "git.dirty": "unknown",
    }
    if (here := checked_out(Path())) is not None:
        commit, dirty = here
        found |= {"mlflow.source.git.commit": commit, "git.dirty": str(dirty).lower()}
    return {name: value for name, value in found.items() if value}


def checked_out(folder: Path) -> tuple[str, bool] | None:
    """The commit that is checked out there, and whether a file that git knows differs; None where that is not known."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.decode().strip(), bool(changed.strip())


def committed() -> dict[str, Any]:
    """The sections of params.yaml that DVC's experiment began from; empty where that cannot be told."""
    revision = os.environ.get("DVC_EXP_BASELINE_REV") or "HEAD"
    try:
        sections = yaml.safe_load(_git(Path(), "show", f"{revision}:./params.yaml"))
    except (OSError, subprocess.SubprocessError, yaml.YAMLError):
        return {}
    return sections if isinstance(sections, dict) else {}


def _git(folder: Path, *arguments: str) -> bytes:
    """What it prints."""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=SECONDS).stdout
