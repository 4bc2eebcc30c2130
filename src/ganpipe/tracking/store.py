"""Where runs are kept, and by which tags they are found."""

import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from types import ModuleType

from ganpipe import files
from ganpipe.errors import UserError

EXPERIMENT, DEFAULT = "ganpipe", "default"  # of the pipeline at the project's root, which is the study `default`
STAGE, MODEL, IMAGES = "ganpipe.stage", "ganpipe.model", "ganpipe.images"  # tags: of what, by checksums
MADE = "ganpipe.made"  # the checksum of the images that a data stage made, as the tags of its readers have it
KEY, JOURNAL = "ganpipe.key", "ganpipe.journal"  # of settings and inputs together; of one run


def experiment() -> str:
    """The name of the study's experiment: stages run in its folder, studies/<name>, or in a copy of that."""
    parts = Path.cwd().parts
    study = parts[-1] if parts[-2:-1] == (files.STUDIES,) else DEFAULT
    return EXPERIMENT if study == DEFAULT else f"{EXPERIMENT}-{study}"


def registered(name: str) -> str:
    """The name under which an experiment's models are registered."""
    return f"{EXPERIMENT}-{DEFAULT}" if name == EXPERIMENT else name


def store_uri() -> str:
    """MLFLOW_TRACKING_URI, or SQLite at the DVC root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{files.project_root() / 'mlflow.db'}"


def without_passwords(text: str) -> str:
    """The text, in which no address names a user: it may be shown, or land in a log."""
    return re.sub(r"//[^/?#\s]*@", "//", text)


def is_server(store: str) -> bool:
    """Whether it is one that other machines may write to, too."""
    return store.startswith(("http://", "https://"))


def artefacts_of(store: str) -> str | None:
    """Where artefacts of a store without a server go; a server says so itself."""
    return None if is_server(store) else (files.project_root() / "mlartifacts").as_uri()


def find_experiment() -> str | None:
    """The id of the experiment in the store, or None where nothing has been tracked yet."""
    import mlflow

    found = mlflow.MlflowClient(make_store(mlflow, store_uri())).get_experiment_by_name(experiment())
    return None if found is None else str(found.experiment_id)


def refuse_damaged(uri: str) -> None:
    """UserError where the store's SQLite file is not whole."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or not path.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as held:
            [(found,)] = held.execute("pragma quick_check(1)").fetchall()
    except sqlite3.OperationalError:  # another process writes to it
        return
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise UserError(
            f"{path} is damaged ({found.splitlines()[0]}): put a copy of it in its place, or remove {path} and run "
            "`make sync`, which makes the runs of what is here anew, not those of earlier settings"
        )


def make_store(mlflow: ModuleType, uri: str) -> str:
    """`uri`, with its SQLite file made where there is none, whole or not at all.

    MLflow makes a database in hundreds of migrations, and refuses one in which they were cut short.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            mlflow.MlflowClient(f"sqlite:///{draft}").search_experiments()
            with suppress(FileExistsError):  # another process was first
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    return uri
