"""`ganpipe compare`: which settings of some trainings differ, and what followed: a page to open, a table to post.

Trainings come from MLflow's store or from folders with a project's files, so that CI needs no store.
"""

import sys
import textwrap
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from ganpipe import files
from ganpipe.compare import from_folder, page
from ganpipe.compare.compared import Compared
from ganpipe.compare.from_store import open_store
from ganpipe.compare.markdown import LETTERS, markdown
from ganpipe.compare.tables import compare_runs
from ganpipe.errors import UserError
from ganpipe.tracking.client import import_mlflow, reason, refusals
from ganpipe.tracking.store import store_uri, without_passwords

STANDARD_OUTPUT = "-"
LONGEST_REASON = 200  # letters


def compare(names: Sequence[str], html: Path, table: str = STANDARD_OUTPUT) -> None:
    """Compare the trainings of those names with the first of them: the page, and a table in Markdown.

    A name is a run's id or a unique beginning of it, a run's name, `best`, or the path of a folder: one with a slash in
    it, or of dots. `table` is a file, or - for standard output. UserError for what a user can mend.
    """
    if not 2 <= len(names) <= len(LETTERS):
        raise UserError(
            f"{'one run is' if len(names) == 1 else f'{len(names)} runs are'} named: compare takes 2 to {len(LETTERS)}"
        )
    if str(html) == STANDARD_OUTPUT:
        raise UserError(f"--html is {html}, but a page is no text to print: name a file")
    files.refuse_unwritable("--html", html)
    if table != STANDARD_OUTPUT:
        files.refuse_unwritable("--markdown", Path(table))
    if html.absolute() == Path(table).absolute():
        raise UserError(f"--html and --markdown are both {html}: name two files")
    runs = _read(names)
    for (name, run), (other, same) in combinations(zip(names, runs, strict=True), 2):
        if run.key == same.key:
            raise UserError(f"{name} and {other} are the same training, {run.place}: name another one")
    comparison = compare_runs(runs)
    words = markdown(comparison)
    page.write(html, comparison)
    if table == STANDARD_OUTPUT:
        print(words, end="")
    else:
        with files.atomic(Path(table)) as draft:
            draft.write_text(words, encoding="utf-8")
    print(f"{html}: the page, to open in a browser", file=sys.stderr)


def is_folder(name: str) -> bool:
    """Whether it names a folder, as shells tell a file from a command."""
    return "/" in name or name in (".", "..")


def _read(names: Sequence[str]) -> list[Compared]:
    """MLflow, which takes seconds, is asked only for what is no folder."""
    runs = {name: from_folder.read(name) for name in names if is_folder(name)}
    if wanted := [name for name in names if name not in runs]:
        runs |= _tracked(wanted)
    return [runs[name] for name in names]


def _tracked(names: Sequence[str]) -> dict[str, Compared]:
    mlflow = import_mlflow()
    if mlflow is None:
        raise UserError("there is no MLflow to find runs in: pip install 'ganpipe[pipeline]', or name folders")
    uri = store_uri()
    try:
        store = open_store(mlflow, uri)
        found = {name: store.find(name) for name in names}
        return {name: store.read(each) for name, each in found.items()}
    except refusals(mlflow) as error:
        why = textwrap.shorten(reason(error), LONGEST_REASON, placeholder=" ...")
        place = without_passwords(uri)
        raise UserError(f"MLflow's store at {place} cannot be read ({why}): see that it is there") from None
