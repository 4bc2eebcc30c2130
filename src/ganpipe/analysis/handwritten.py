"""Files that a person, or a page, wrote for an analysis: read whole, and no larger than such a file is."""

import json
from pathlib import Path
from typing import Any

from ganpipe.errors import UserError

MOST_BYTES = 1 << 20


def read_text(setting: str, path: Path) -> str:
    """The file's text. `setting` is the one that names it. UserError where it cannot be read."""
    if not path.is_file():
        raise UserError(f"{setting} is {path}, which is no file (seen from {Path.cwd()})")
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UserError(f"{setting} is {path}, which has more than {MOST_BYTES:,} bytes: is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{setting} is {path}, which is no text in UTF-8: write it again as such") from None


def read_json(setting: str, path: Path) -> Any:
    """What the file holds, as JSON has it. UserError likewise."""
    try:
        return json.loads(read_text(setting, path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{setting} is {path}, which is not JSON: {error}") from None
