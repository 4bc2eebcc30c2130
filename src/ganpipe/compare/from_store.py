"""Trainings read from MLflow's store, for `ganpipe compare`."""

import difflib
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ganpipe.compare.compared import EVALUATE, STAGES, Compared, Curve, Sample, quoted, text
from ganpipe.errors import UserError
from ganpipe.tracking.current import PARENT
from ganpipe.tracking.registry import BEST
from ganpipe.tracking.store import IMAGES, KEY, MADE, STAGE, experiment, registered, without_passwords
from ganpipe.tracking.told import BY_STEP

PICTURE = re.compile(r"samples\+step\+(\d+)\+timestamp\+(\d+)\+[^/+]*\.png")
HEX = re.compile("[0-9a-f]{1,32}")
# Names that a filter takes between quotes, whatever it makes of others.
QUOTABLE = re.compile(r"[\w ,.:;+@/=()\[\]-]+")
MANY = 1000  # runs of one answer
SHOWN = 8  # letters of an id


class Found(NamedTuple):
    """A training's run, and what is to be said of how it was found."""

    run: Any
    remarks: list[str]


class Store:
    """The runs of the project in a store of MLflow. What MLflow raises goes through."""

    def __init__(self, client: Any, uri: str) -> None:
        self._client = client
        found = client.get_experiment_by_name(experiment())
        if found is None:
            raise UserError(f"nothing is tracked in {uri} yet: `dvc repro` makes a run, `ganpipe sync` brings it there")
        self._experiment = str(found.experiment_id)

    def find(self, name: str) -> Found:
        """The training that is called so: by its id or a beginning of it, by its name, or `best`. UserError if none."""
        if name == BEST:
            return self._training(self._by_id(self._best()), name)
        runs = (
            self._search(f"attributes.run_id = '{name}'")
            if re.fullmatch("[0-9a-f]{32}", name)
            else self._by_name(name) or self._by_beginning(name)
        )
        if not runs:
            raise UserError(f"there is no run {name!r}: {self._near(name)}")
        return self._training(next(filter(_is_training, runs), runs[0]), name)

    def read(self, found: Found) -> Compared:
        """All that is compared of it."""
        run, info = found.run, found.run.info
        evaluations, remarks = self._evaluations(run)
        stages = self._before(run)
        if missing := [stage for stage, each in stages.items() if each is None]:
            told = ", ".join(missing)
            remarks.append(f"What was counted by {told} is not known: no run of it has these settings and data.")
        tags, metrics = run.data.tags, run.data.metrics
        ways = {name: self._curve(info.run_id, name) for name in sorted(metrics) if name.startswith("train/")}
        for labelled, each in evaluations.items():
            if (name := f"{labelled}/{BY_STEP}") in each.data.metrics:
                ways[name] = self._curve(each.info.run_id, name)
        measured = {
            name: value
            for labelled, each in evaluations.items()
            for name, value in each.data.metrics.items()
            if name.startswith(f"{labelled}/")
        }
        # The training's own figures of a set may be of several measurements; those of one go together.
        own = {
            name: value
            for name, value in metrics.items()
            if name.rpartition("/")[0] not in ("", "best", "system") and name.split("/")[0] not in evaluations
        }
        counts = {
            f"{stage}/{name}": value
            for stage, each in stages.items()
            for name, value in (each.data.metrics.items() if each else ())
            if not name.startswith("system/")
        }
        figures = {**counts, **own, **measured}
        loads = {name: self._curve(info.run_id, name) for name in metrics if name.startswith("system/")}
        data = {"data/processed": tags.get(f"{IMAGES}.processed")} | {
            f"data/evaluation/{labelled}": each.data.tags.get(f"{IMAGES}.evaluation")
            for labelled, each in evaluations.items()
        }
        samples, unlisted = self._samples(info.run_id)
        ended = info.end_time if info.status != "RUNNING" and "ganpipe.synced" not in tags else None
        return Compared(
            key=info.run_id,
            name=info.run_name,
            place=f"run {info.run_id[:SHOWN]}",
            began=datetime.fromtimestamp(info.start_time / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC"),
            commit=tags.get("mlflow.source.git.commit", "")[:SHOWN]
            + (" and changes" if tags.get("git.dirty") == "true" else ""),
            status="" if info.status == "FINISHED" else info.status.lower(),
            parameters={
                name: text(value) for name, value in run.data.params.items() if not name.startswith(f"{EVALUATE}.")
            },
            evaluations={labelled: _settings(each) for labelled, each in evaluations.items()},
            data={folder: digest for folder, digest in data.items() if digest},
            figures={name: value for name, value in figures.items() if not name.endswith(f"/{BY_STEP}")},
            curves=ways,
            samples=samples,
            load={name.removeprefix("system/"): [value for _, value in curve] for name, curve in loads.items()},
            took=None if ended is None else (ended - info.start_time) / 1000,
            remarks=[*found.remarks, *remarks, *unlisted],
        )

    def _search(self, wanted: str, most: int = MANY) -> list[Any]:
        """Runs, the latest first."""
        order = ["attributes.start_time DESC"]
        return list(self._client.search_runs([self._experiment], wanted, max_results=most, order_by=order))

    def _trainings(self) -> Iterator[Any]:
        """All of them, the latest first."""
        token, order = None, ["attributes.start_time DESC"]
        while True:
            page = self._client.search_runs(
                [self._experiment], f"tags.`{STAGE}` = 'train'", max_results=MANY, order_by=order, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _by_id(self, run: str) -> Any:
        found = self._search(f"attributes.run_id = '{run}'") if HEX.fullmatch(run) else []
        if not found:
            raise UserError(f"the run {run} is not among this project's runs any more: it was deleted")
        return found[0]

    def _by_name(self, name: str) -> list[Any]:
        if QUOTABLE.fullmatch(name):
            called = self._search(f"attributes.run_name = '{name}'", most=50)
            # Or by DVC's name of the experiment, which the run's own begins with.
            return called or self._search(f"tags.`dvc.exp` = '{name}' and tags.`{STAGE}` = 'train'", most=50)
        return [run for run in self._trainings() if run.info.run_name == name]

    def _by_beginning(self, name: str) -> list[Any]:
        """The one run whose id begins so; trainings go before others."""
        found = self._search(f"attributes.run_id LIKE '{name}%'", most=50) if HEX.fullmatch(name) else []
        trainings = list(filter(_is_training, found))
        if len(trainings or found) > 1:
            some = [
                f"{run.info.run_id[: max(SHOWN, len(name) + 4)]} ({run.info.run_name})" for run in trainings or found
            ]
            more = f" and {len(some) - 3} more" if len(some) > 3 else ""
            raise UserError(f"{name!r} is the beginning of {', '.join(some[:3])}{more}: give more of it")
        return trainings or found

    def _best(self) -> str:
        try:
            version = self._client.get_model_version_by_alias(models := registered(experiment()), BEST)
        except Exception as error:
            if getattr(error, "error_code", "") not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise UserError(
                f"no model is registered as {models}@{BEST} yet: an evaluation of a training registers it"
            ) from None
        return str(version.run_id)

    def _training(self, run: Any, name: str) -> Found:
        """The run, or that of the training that it is nested in."""
        info, tags = run.info, run.data.tags
        if _is_training(run):
            return Found(run, [])
        if parent := tags.get(PARENT):
            training = self._by_id(parent)
            if _is_training(training):
                return Found(
                    training,
                    [f"{quoted(name)} is {quoted(info.run_name)} of this training, which is compared instead."],
                )
        stage = tags.get(STAGE)
        raise UserError(
            f"run {info.run_id[:SHOWN]} ({info.run_name}) is no training"
            + (f", but of the stage {stage}" if stage else "")
            + f": name a training, {self._near(name)}"
        )

    def _near(self, name: str) -> str:
        """What may have been meant."""
        latest: dict[str, str] = {}
        for run in self._trainings():
            latest.setdefault(run.info.run_name, run.info.run_id[:SHOWN])
        if not latest:
            return "no training is tracked yet, `dvc repro` makes one"
        known = [*latest, *latest.values()]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if name and Path(name).is_dir():
            return f"for the folder of that name, write ./{name}"
        words = ", ".join(map(repr, near or list(latest)[:3]))
        return f"did you mean {words}?" if near else f"the latest trainings are {words}"

    def _evaluations(self, training: Any) -> tuple[dict[str, Any], list[str]]:
        """By set the latest measurement that looked at the test set, or else the latest; and what others there are."""
        nested = self._search(f"tags.`{PARENT}` = '{training.info.run_id}' and tags.`{STAGE}` = 'evaluate'")
        chosen: dict[str, Any] = {}
        ways: dict[str, set[str]] = {}
        for each in nested:
            for labelled in sorted(_sets(each.data.metrics)):
                known, figure = chosen.get(labelled), f"{labelled}/accuracy"
                if known is None or (figure in each.data.metrics and figure not in known.data.metrics):
                    chosen[labelled] = each
                ways.setdefault(labelled, set()).add(each.data.tags.get(KEY, ""))
        return chosen, [
            f"{quoted(labelled)} was measured in {len(keys)} ways: shown is the latest that looked at the test set, or "
            "else the latest."
            for labelled, keys in sorted(ways.items())
            if len(keys) > 1
        ]

    def _before(self, training: Any) -> dict[str, Any]:
        """The runs of the stages before it, by the checksums that link them; None for what is not found."""
        processed = training.data.tags.get(f"{IMAGES}.processed", "")
        preprocess = self._stage(training, "preprocess", MADE, processed)
        raw = preprocess.data.tags.get(f"{IMAGES}.raw", "") if preprocess else ""
        found = {
            "download": self._stage(training, "download", MADE, raw),
            "dedupe": self._stage(training, "dedupe", f"{IMAGES}.raw", raw),
            "preprocess": preprocess,
        }
        return {stage: found[stage] for stage in STAGES}

    def _stage(self, training: Any, stage: str, tag: str, digest: str) -> Any:
        """The latest run of that stage with the training's settings and that checksum; None without."""
        if not HEX.fullmatch(digest):
            return None
        found = self._search(
            f"tags.`{STAGE}` = '{stage}' and tags.`{tag}` = '{digest}' and attributes.status = 'FINISHED'"
        )
        return next((run for run in found if run.data.params.items() <= training.data.params.items()), None)

    def _curve(self, run: str, name: str) -> Curve:
        points = sorted(self._client.get_metric_history(run, name), key=lambda point: (point.step, point.timestamp))
        return list({point.step: point.value for point in points}.items())

    def _samples(self, run: str) -> tuple[dict[int, Sample], list[str]]:
        """The latest of each step; and a remark where the place of the artefacts does not answer."""
        latest: dict[int, tuple[int, Any]] = {}
        try:
            items = self._client.list_artifacts(run, "images")
        except Exception as error:  # whatever the client of some object store raises, the figures are here
            return {}, [f"Its samples cannot be read ({type(error).__name__})."]
        for item in items:
            if match := PICTURE.fullmatch(item.path.rpartition("/")[2]):
                step, at = int(match[1]), int(match[2])
                if step not in latest or at > latest[step][0]:
                    latest[step] = (at, item)
        return {
            step: Sample(item.file_size or 0, partial(self._artefact, run, item.path))
            for step, (_, item) in sorted(latest.items())
        }, []

    def _artefact(self, run: str, path: str) -> bytes:
        """A file's bytes. OSError where they cannot be had."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                return Path(self._client.download_artifacts(run, path, folder)).read_bytes()
            except Exception as error:  # as above
                raise OSError(f"{path} cannot be read ({type(error).__name__})") from error


def open_store(mlflow: Any, uri: str) -> Store:
    """The store at that address. A file that is not there is not made."""
    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.exists():
        raise UserError(f"nothing is tracked yet, there is no {path}: `dvc repro` makes it, or set MLFLOW_TRACKING_URI")
    return Store(mlflow.MlflowClient(uri), without_passwords(uri))


def _is_training(run: Any) -> bool:
    return bool(run.data.tags.get(STAGE) == "train")


def _sets(metrics: dict[str, float]) -> set[str]:
    """That the figures are of."""
    parts = (name.rpartition("/") for name in metrics)
    return {labelled for labelled, _, name in parts if name in ("accuracy", "accuracy_validation")} - {"", "best"}


def _settings(evaluation: Any) -> dict[str, str | None]:
    return {name: text(value) for name, value in evaluation.data.params.items() if name.startswith(f"{EVALUATE}.")}
