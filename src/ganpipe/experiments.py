"""`ganpipe experiments`: DVC's experiments as a table for a terminal, with what differs and the headline accuracies.

`dvc exp show` has every figure of every file as a column, each with the file's name before it.
"""

import csv
import re
import subprocess
from pathlib import Path

from ganpipe.errors import UserError, printable

HEADLINES = {"accuracy_validation": "validation", "accuracy": "test", "accuracy_random_init": "untrained"}
SETTING = r"(.*:)?(download|dedupe|preprocess|train|evaluate|analyse)\.\w+"
KEPT = rf"Experiment|rev|typ|(.*:)?({'|'.join(HEADLINES)})|{SETTING}"
WIDEST = 24  # letters of a cell


def experiments() -> str:
    """A line each of the workspace, the commit and what was tried on it. UserError where DVC does not tell."""
    command = ["dvc", "exp", "show", "--csv", "--only-changed", "--drop", f"^(?!({KEPT})$)"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise UserError("there is no dvc on the path: . .venv/bin/activate puts it there") from None
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split()).removeprefix("ERROR: ")
        raise UserError(f"`dvc exp show` failed in {Path.cwd()}: {said}") from None
    return table(shown.stdout)


def table(content: str) -> str:
    """The CSV that `dvc exp show` prints, for people: aligned columns, per cent, what is not there left empty."""
    rows = list(csv.DictReader(content.splitlines()))
    names = [name for name in (rows[0] if rows else ()) if name not in ("Experiment", "rev", "typ")]
    settings = [name for name in names if re.fullmatch(SETTING, name)]
    figures = sorted((name for name in names if name not in settings), key=_set_and_part)
    lines = [["", *(name.rpartition(":")[2] for name in settings), *map(_title, figures)]]
    for row in rows:
        who = row.get("Experiment") or row.get("rev", "")  # DVC leaves out what all lack
        lines.append([who, *(row[name] for name in settings), *(_per_cent(row[name]) for name in figures)])
    lines = [[_cell(text) for text in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(text: str) -> str:
    shown = printable(text, kept="")
    return shown if len(shown) <= WIDEST else f"{shown[: WIDEST - 1]}…"


def _per_cent(share: str) -> str:
    try:
        return f"{float(share):.2%}"
    except ValueError:  # empty where it was not measured, and "!" where DVC could not read the file
        return share


def _set_and_part(column: str) -> tuple[str, int]:
    file, _, figure = column.rpartition(":")
    return file, list(HEADLINES).index(figure)


def _title(column: str) -> str:
    """Of metrics/evaluate/cifar10.json:accuracy, or of accuracy where a single set is measured."""
    file, _, figure = column.rpartition(":")
    return f"{Path(file).stem} {HEADLINES[figure]}".strip()
