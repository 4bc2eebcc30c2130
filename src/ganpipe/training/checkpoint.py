"""Checkpoints that survive being killed: atomic, verified by the checksum in their names, the last few kept."""

import hashlib
import io
import re
import sys
from pathlib import Path
from typing import Any

import torch

import ganpipe
from ganpipe import files

KEEP = 2
NAME = re.compile(r"step-(\d{9})-([0-9a-f]{16})\.pt")
CODE = ("models", "training")  # packages whose text determines what a training computes


def folder_for(stage: str, what_determines: dict[str, Any]) -> Path:
    """Where a stage's unfinished work lives, keyed by everything that determines it, the code and torch included."""
    package = Path(ganpipe.__file__).parent
    code = {
        path.relative_to(package).as_posix(): files.sha256(path)
        for part in CODE
        for path in sorted((package / part).glob("*.py"))
    }
    return files.work_folder() / stage / files.digest({**what_determines, "code": code, "torch": torch.__version__})


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the state after `step` steps, then remove those before it but the newest few; a longer training's stay."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getbuffer()
    path = folder / f"step-{step:09}-{hashlib.sha256(data).hexdigest()[:16]}.pt"
    with files.atomic(path) as draft:
        draft.write_bytes(data)
    earlier = [old for at, old in _listed(folder) if at <= step and old != path]
    for old in earlier[KEEP - 1 :]:
        old.unlink()
    return path


def latest(folder: Path, up_to: int) -> tuple[int, dict[str, Any]] | None:
    """Step and state of the newest whole checkpoint not past `up_to`; a damaged one is named and passed over."""
    for step, path in _listed(folder):
        if step > up_to:
            continue
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest()[:16] != path.stem.rsplit("-", 1)[1]:
            print(f"warning: {path} is damaged; going back to the checkpoint before it", file=sys.stderr)
            continue
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return step, state
    return None


def _listed(folder: Path) -> list[tuple[int, Path]]:
    """Newest first."""
    found = ((NAME.fullmatch(path.name), path) for path in folder.glob("step-*.pt"))
    return sorted(((int(match[1]), path) for match, path in found if match), reverse=True)
