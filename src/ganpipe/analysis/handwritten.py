"""Files that a person wrote for an analysis: read whole, no larger than such a file is; and whose samples they name."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ganpipe.errors import UserError

MOST_BYTES = 1 << 20
CHECKSUM = re.compile("[0-9a-f]{8,64}")  # or its beginning
SHOWN = 16  # of its digits


class Drawn(NamedTuple):
    """The samples that numbers in a file are to be of."""

    model: str  # checksum of the generator's weights
    seed: int  # of their z


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


def refuse_others(path: Path, said: Mapping[str, Any], drawn: Drawn) -> None:
    """A UserError where a file says, by `model` and `seed`, that its numbers are of other samples than those drawn.

    Where it does not say which model, as those of earlier versions, it is taken at its word, with a warning.
    """
    model, seed = said.get("model"), said.get("seed", drawn.seed)
    if model is not None and not (isinstance(model, str) and CHECKSUM.fullmatch(model)):
        raise UserError(
            f"{path}: model is {str(model)[:80]!a}, but it is to be the checksum of the generator's weights, as "
            "config.json beside them has it, or at least its first 8 digits"
        )
    if model is not None and not drawn.model.startswith(model):
        raise UserError(
            f"{path} names samples of the generator {model[:SHOWN]}, but this one is {drawn.model[:SHOWN]}, whose "
            "samples show other things: pick them anew, or bring that model back"
        )
    if type(seed) is not int or seed != drawn.seed:
        raise UserError(
            f"{path} names samples of the seed {str(seed)[:20]!a}, but analyse.seed is {drawn.seed}: set it to theirs, "
            "or pick samples anew"
        )
    if model is None:
        print(
            f"warning: {path} does not say which generator its samples are of, and those of another one show other "
            f'things: if they are of this one, let it say, in JSON, "model": "{drawn.model[:SHOWN]}", '
            f'"seed": {drawn.seed}',
            flush=True,
        )
