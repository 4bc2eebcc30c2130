"""Checkpoints that survive being killed: atomic, verified by the checksum in their names, the last few kept."""

import hashlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import torch

import ganpipe
from ganpipe import files
from ganpipe.errors import UserError
from ganpipe.runtime import any_of, from_the_first, world

KEEP = 2
ALIKE = 6  # things in which a training differs at most that somebody may have meant to continue
NAME = re.compile(r"step-(\d{9})-([0-9a-f]{16})\.pt")
CODE = ("models/*.py", "training/*.py", "runtime.py")  # whose text determines what a training computes


KEY = "key.json"


def folder_for(stage: str, what_determines: dict[str, Any]) -> Path:
    """Where a stage's unfinished work lives: keyed by everything that determines it, the code and torch included.

    It is made by the process that writes there. UserError where not all that share the work would do the same.
    """
    package = Path(ganpipe.__file__).parent
    code = {
        path.relative_to(package).as_posix(): files.sha256(path) for part in CODE for path in sorted(package.glob(part))
    }
    key = {**what_determines, "code": files.digest(code), "torch": torch.__version__}
    _refuse_difference(key)
    folder = files.work_folder() / stage / files.digest(key)
    if world()[0] == 0:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / KEY).exists():
            files.write_json(folder / KEY, key)
    return folder


def _refuse_difference(key: dict[str, Any]) -> None:
    """In all processes, where one goes by another key than the first."""
    first = from_the_first(key)
    differing = sorted(name for name in first.keys() | key.keys() if first.get(name) != key.get(name))
    if not any_of(bool(differing)):
        return
    rank, size = world()
    what = f"process {rank} differs in {', '.join(differing)}" if differing else "another process says which"
    raise UserError(f"the {size} processes do not train the same as the first one, {what}: make their hosts alike")


def not_continued(folder: Path) -> str | None:
    """Which unfinished work beside `folder` differs from it in the fewest things, and in which; None if none is."""
    mine = _key(folder)
    found = []
    for other in sorted(folder.parent.iterdir()):
        kept, theirs = newest(other), _key(other)
        if other != folder and kept is not None and theirs:
            differing = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
            if len(differing) > ALIKE:  # of another study: nobody expects it to go on here
                continue
            found.append((len(differing), f"{kept} is of a training that differs in {', '.join(differing)}"))
    return min(found)[1] if found else None


def _key(folder: Path) -> dict[str, Any]:
    try:
        key: dict[str, Any] = json.loads((folder / KEY).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # of an earlier version, or cut short: nothing can be said of it
        return {}
    return key


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


def refuse_damaged(written: dict[Path, str]) -> None:
    """UserError for a picture of the way that is gone, or not what was written: the weights of its step are gone."""
    for path, checksum in written.items():
        if not path.exists() or files.sha256(path) != checksum:
            raise UserError(
                f"{path} is damaged or missing, and only a new training makes it: remove {path.parent}, and start again"
            )


def newest(folder: Path) -> Path | None:
    """The checkpoint of the most steps."""
    listed = _listed(folder)
    return listed[0][1] if listed else None


def _listed(folder: Path) -> list[tuple[int, Path]]:
    """Newest first."""
    found = ((NAME.fullmatch(path.name), path) for path in folder.glob("step-*.pt"))
    return sorted(((int(match[1]), path) for match, path in found if match), reverse=True)
