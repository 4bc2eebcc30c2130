"""The file that says what a stage's output folder holds."""

import json
from pathlib import Path
from typing import Any

from ganpipe.errors import UserError

MANIFEST = "manifest.json"
SCHEMA = 1  # of every manifest; raised when a reader of the old form would go wrong


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a stage's output folder; a UserError where there is none or it is of another form."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} has no {MANIFEST}: run the stage that makes it with `dvc repro`") from None
    except ValueError as error:
        raise UserError(f"{folder / MANIFEST} is not JSON ({error}): make it anew with `dvc repro`") from None
    if not isinstance(manifest, dict):
        raise UserError(f"{folder / MANIFEST} is no manifest: make it anew with `dvc repro`")
    if manifest.get("schema") != SCHEMA:
        raise UserError(
            f"{folder} is of schema {manifest.get('schema')}, this reads {SCHEMA}: make it anew with `dvc repro`"
        )
    return manifest
