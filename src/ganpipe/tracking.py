"""MLflow as a sink of what the stages wrote. Files are the truth: a lost tracking server never stops a stage.

A training is a parent run; each evaluation of its discriminator is nested in it, found by the checksum of the weights,
and puts its figures on the parent too, so that one table compares everything. Stages that make data have runs of their
own. A stage that was killed and started again goes on in the run it had, and logs no step twice.
"""

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from ganpipe import comparison, files
from ganpipe.progress import Pace
from ganpipe.runtime import world
from ganpipe.settings import read_params

T = TypeVar("T")
EXPERIMENT = "ganpipe"
STAGES = ("download", "dedupe", "preprocess", "train", "evaluate")  # that read settings, in their order
POINTS_AT_ONCE = 1000  # MLflow's limit for one request
NO_NAME, LONGEST_NAME = re.compile(r"[^\w.\- :/]"), 250  # what MLflow takes for a metric
SHARE_FOR_CURVES = 0.005  # of the time
STAGE, MODEL, IMAGES = "ganpipe.stage", "ganpipe.model", "ganpipe.images"  # tags


class Run:
    """One MLflow run, or nothing where MLflow is not installed or does not answer; no method ever raises for that."""

    def __init__(self, mlflow: ModuleType | None) -> None:
        self._mlflow = self._imported = mlflow
        self.id: str | None = None
        self.experiment = ""
        self.parent: str | None = None
        self._seen = -1  # the last step that an earlier life of this run has logged
        self._rows: list[tuple[int, dict[str, float]]] = []  # with their times in milliseconds, not sent yet
        self._sending = Pace(SHARE_FOR_CURVES)

    def attempt(self, what: str, action: Callable[[Any], T]) -> T | None:
        """`action(mlflow)`, or None: the first failure is told once and ends the tracking of this run."""
        if self._mlflow is None:
            return None
        try:
            return action(self._mlflow)
        except Exception as error:  # whatever a server, a database or a client library raises, the work goes on
            # SQLAlchemy may put an advice to programmers, in brackets, before what happened.
            lines = [line for line in str(error).splitlines() if not line.startswith("(raised as a result of")]
            reason = lines[0] if lines else type(error).__name__
            print(f"warning: not tracked any further, MLflow failed at {what}: {reason}", file=sys.stderr)
            self._mlflow = None
            return None

    def end(self, status: str) -> None:
        """Close the run: also one whose tracking has failed, for its server may be back."""
        self._send_rows()
        failed, self._mlflow = self._mlflow is None, None
        try:
            if self._imported is not None:
                self._imported.end_run(status)
        except Exception as error:
            if not failed:
                print(f"warning: the run was not closed in MLflow: {error}", file=sys.stderr)

    def tags(self, values: dict[str, str]) -> None:
        """Set tags."""
        self.attempt("tags", lambda mlflow: mlflow.set_tags(values))

    def metrics(self, values: dict[str, Any], prefix: str = "", unless: str | None = None) -> None:
        """Final figures, numbers only, on this run and on its parent, unless that has a figure named `unless`."""
        numbers = {
            NO_NAME.sub("_", prefix + name)[:LONGEST_NAME]: float(value)
            for name, value in values.items()
            if isinstance(value, int | float | bool)
        }

        def log(mlflow: Any) -> None:
            mlflow.log_metrics(numbers)
            if self.parent is not None and (unless is None or unless not in mlflow.get_run(self.parent).data.metrics):
                mlflow.log_metrics(numbers, run_id=self.parent)

        self.attempt("metrics", log)

    def curve(self, name: str, values: dict[int, float]) -> None:
        """A figure by step of the training, on this run."""

        def log(mlflow: Any) -> None:
            at = round(time.time() * 1000)
            points = [mlflow.entities.Metric(name, value, at, step) for step, value in sorted(values.items())]
            for start in range(0, len(points), POINTS_AT_ONCE):
                mlflow.MlflowClient().log_batch(self.id, points[start : start + POINTS_AT_ONCE])

        self.attempt("curves", log)

    def tick(self, row: dict[str, float]) -> None:
        """A row of the curves, at its step and the present time; rows that this run already has are passed over.

        Rows are sent several at once, so often that sending them takes a small share of the time.
        """
        if self._mlflow is not None and int(row["step"]) > self._seen:
            self._rows.append((round(time.time() * 1000), row))
            if self._sending.due():
                with self._sending:
                    self._send_rows()

    def _send_rows(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self.attempt("curves", lambda mlflow: self._log_rows(mlflow, rows))

    def _log_rows(self, mlflow: Any, rows: list[tuple[int, dict[str, float]]]) -> None:
        points = [
            mlflow.entities.Metric(f"train/{name}", float(value), at, int(row["step"]))
            for at, row in rows
            for name, value in row.items()
            if name != "step"
        ]
        client = mlflow.MlflowClient()
        for start in range(0, len(points), POINTS_AT_ONCE):
            client.log_batch(self.id, points[start : start + POINTS_AT_ONCE])

    def picture(self, name: str, path: Path, step: int | None = None) -> None:
        """A picture: by step under the slider of the run's page, or as a file among its artefacts."""
        if step is None:
            self.attempt("pictures", lambda mlflow: mlflow.log_artifact(str(path), name))
        elif step > self._seen:
            self.attempt("pictures", lambda mlflow: mlflow.log_image(_opened(path), key=name, step=step))

    def artefacts(self, folder: Path, name: str) -> None:
        """A folder's files."""
        self.attempt("artefacts", lambda mlflow: mlflow.log_artifacts(str(folder), name))


@contextmanager
def track(stage: str, inputs: dict[str, str], name: str | None = None, parent_of: str | None = None) -> Iterator[Run]:
    """The run of a stage: its name, parameters and provenance logged at the start, its outcome at the end.

    `inputs` maps what the stage reads to checksums and becomes tags. `parent_of` is the checksum of the weights whose
    training this run is to be nested in.
    """
    run = Run(_import_mlflow() if world()[0] == 0 else None)  # of several processes the first one speaks
    settings = _flat(_upstream(read_params(), stage))
    ticket = files.work_folder() / "tracking" / files.digest({"stage": stage, "inputs": inputs, "settings": settings})
    run.attempt("start", lambda mlflow: _start(mlflow, run, ticket, stage, name or stage, inputs, parent_of, settings))
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.attempt("view", lambda mlflow: comparison.write(mlflow, run.experiment, STAGE))
        run.end(status)
        if status == "FINISHED":
            ticket.unlink(missing_ok=True)


def run_name(settings: str) -> str:
    """What the run is called in tables: DVC's name of the experiment where there is one, else what it is."""
    return os.environ.get("DVC_EXP_NAME") or settings


def store_uri() -> str:
    """MLFLOW_TRACKING_URI, or SQLite at the DVC root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{files.project_root() / 'mlflow.db'}"


def find_experiment() -> str | None:
    """The id of the experiment in the store, or None where nothing has been tracked yet."""
    import mlflow

    found = mlflow.MlflowClient(_make_store(mlflow, store_uri())).get_experiment_by_name(EXPERIMENT)
    return None if found is None else str(found.experiment_id)


def _make_store(mlflow: Any, uri: str) -> str:
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


def _opened(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        return image.copy()


def _import_mlflow() -> ModuleType | None:
    # Its start-up chatter about database migrations is not news to anyone, and what fails is told by `attempt`.
    for noisy, level in {
        "alembic": "WARNING",
        "mlflow.system_metrics": "WARNING",
        "mlflow.store.db.utils": "CRITICAL",
    }.items():
        logging.getLogger(noisy).setLevel(level)
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # a lost server costs seconds, not minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    try:
        import mlflow
    except ImportError:
        print("mlflow is not installed here: the stage writes its files and is not tracked", file=sys.stderr)
        return None
    return mlflow


def _start(
    mlflow: Any,
    run: Run,
    ticket: Path,
    stage: str,
    name: str,
    inputs: dict[str, str],
    parent_of: str | None,
    settings: dict[str, Any],
) -> None:
    server = os.environ.get("MLFLOW_TRACKING_URI")  # asked before set_tracking_uri, which sets it
    mlflow.set_tracking_uri(_make_store(mlflow, store_uri()))
    run.experiment = experiment = _experiment(mlflow, None if server else files.project_root() / "mlartifacts")
    if parent_of is not None:
        found = mlflow.search_runs(
            [experiment],
            f"tags.`{MODEL}` = '{parent_of}' and tags.`{STAGE}` = 'train'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
            output_format="list",
        )
        run.parent = found[0].info.run_id if found else None
    client = mlflow.MlflowClient()
    run.id = _unfinished(client, ticket)
    if run.id is None:
        tags = {STAGE: stage, **{f"{IMAGES}.{key}": value for key, value in inputs.items()}, **_provenance()}
        if run.parent is not None:
            tags["mlflow.parentRunId"] = run.parent
        run.id = client.create_run(experiment, run_name=name, tags=tags).info.run_id
        with files.atomic(ticket) as draft:
            draft.write_text(run.id)
    else:
        curves = [client.get_metric_history(run.id, f"train/{name}") for name in ("loss_g", "loss_d")]
        run._seen = max((point.step for curve in curves for point in curve), default=-1)
    mlflow.start_run(run_id=run.id, log_system_metrics=True)
    mlflow.log_params(settings)


def _unfinished(client: Any, ticket: Path) -> str | None:
    """The run that an earlier life of the same stage left open, where the store still has it."""
    if not ticket.exists():
        return None
    run_id = ticket.read_text()
    try:
        info = client.get_run(run_id).info
    except Exception:  # another store, or the run was deleted
        return None
    return run_id if info.lifecycle_stage == "active" else None


def _experiment(mlflow: Any, artefacts: Path | None) -> str:
    """The experiment's id; it is made where there is none, with its artefacts there, or where the server keeps them."""
    found = mlflow.get_experiment_by_name(EXPERIMENT)
    if found is None:
        try:
            return str(mlflow.create_experiment(EXPERIMENT, artefacts.as_uri() if artefacts else None))
        except mlflow.exceptions.MlflowException:
            found = mlflow.get_experiment_by_name(EXPERIMENT)  # another process was first
            if found is None:
                raise
    return str(found.experiment_id)


def _provenance() -> dict[str, str]:
    """Tags: git commit, whether the tree differed from it, DVC's experiment and its baseline."""
    tags = {
        "dvc.exp": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV", ""),
    }
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        tags["mlflow.source.git.commit"] = commit.stdout.strip()
        tags["git.dirty"] = str(bool(status.stdout.strip())).lower()
    except (OSError, subprocess.SubprocessError):
        tags["git.dirty"] = "unknown"
    return {key: value for key, value in tags.items() if value}


def _upstream(sections: dict[str, Any], stage: str) -> dict[str, Any]:
    """The sections that a stage's result may follow from: those up to its own."""
    upstream = STAGES[: STAGES.index(stage) + 1]
    return {name: values for name, values in sections.items() if name in upstream}


def _flat(sections: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, settings in sections.items()
        if isinstance(settings, dict)
        for key, value in settings.items()
    }
