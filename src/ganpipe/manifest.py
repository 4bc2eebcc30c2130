"""The file that says what a stage's output folder holds."""

import json
from pathlib import Path
from typing import Any

from ganpipe import files
from ganpipe.errors import UserError

MANIFEST = "manifest.json"
MAKERS = {  # which stage makes a folder of that name, or one in it
    "raw": "download",
    "evaluation": "evaluation_sets",
    "deduped": "dedupe",
    "processed": "preprocess",
}
SCHEMA = 1  # of every manifest; raised when a reader of the old form would go wrong


def anew(folder: Path) -> str:
    """What makes a stage's output folder again, to put at the end of a sentence.

    Plain `dvc repro` does not where a failing disk changed a file: DVC trusts one whose date and size are as they were.
    """
    stage = MAKERS.get(folder.name) or MAKERS.get(folder.parent.name)
    return f"`dvc repro --force --single-item {stage}` makes it anew" if stage else "make it anew"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a stage's output folder; a UserError where there is none or it is of another form."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} has no {MANIFEST}: run the stage that makes it with `dvc repro`") from None
    except ValueError as error:
        raise UserError(f"{folder / MANIFEST} is not JSON ({error}): {anew(folder)}") from None
    if not isinstance(manifest, dict):
        raise UserError(f"{folder / MANIFEST} is no manifest: {anew(folder)}")
    if manifest.get("schema") != SCHEMA:
        raise UserError(f"{folder} is of schema {manifest.get('schema')}, this reads {SCHEMA}: {anew(folder)}")
    return manifest


def verified(folder: Path) -> Path:
    """The folder, each file of which has the checksum that the manifest says; else a UserError names the file."""
    manifest = read_manifest(folder)
    try:
        named = {entry["file"]: entry["sha256"] for kind in ("shards", "others") for entry in manifest.get(kind, [])}
    except (KeyError, TypeError):
        raise UserError(f"{folder / MANIFEST} is damaged: {anew(folder)}") from None
    for name, checksum in named.items():
        path = folder / name
        if not path.is_file() or files.sha256(path) != checksum:
            raise UserError(f"{path} is damaged, its checksum is not the one in {MANIFEST}: {anew(folder)}")
    return folder
