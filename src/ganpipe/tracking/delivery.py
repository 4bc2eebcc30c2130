"""From a journal to MLflow, as often as it takes: what has arrived is not sent again, and nothing is doubled.

Every point carries the time at which it was noted, and a store takes a point that it has for the same one. Runs and
pictures are looked for before they are made.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable
from itertools import groupby
from types import ModuleType
from typing import Any, NamedTuple

from ganpipe import files
from ganpipe.tracking import current, journal, names, registry, view
from ganpipe.tracking.client import import_mlflow, reason
from ganpipe.tracking.journal import Event, Journal
from ganpipe.tracking.notes import NOTE, with_line
from ganpipe.tracking.store import JOURNAL, MODEL, STAGE, artefacts_of, make_store, registered

POINTS_AT_ONCE, PARAMETERS_AT_ONCE = 1000, 100  # MLflow's limits for one request
POINTS = ("tick", "curve", "system")  # events that are sent together
QUIET, PATIENCE, LONGEST_PAUSE = 5.0, 60.0, 60.0  # seconds between looks; for one event at the end; after failures


class Damaged(Exception):
    """What a journal holds is not what it was given."""


class Delivery:
    """Of one journal to one store."""

    def __init__(self, noting: Journal, mlflow: ModuleType, store: str) -> None:
        self._journal, self._mlflow, self._store = noting, mlflow, store
        self._client: Any = mlflow.MlflowClient(make_store(mlflow, store))
        self.run: str | None = None
        self._done, self._experiment, self._parent = 0, "", None
        self._models = ""  # the name that the experiment's models are registered under
        done = noting.delivered
        if done.get("store") == store and (found := self._there(done["run"])) is not None:
            self.run, self._done = done["run"], done["events"]
            self._experiment = found.info.experiment_id
            self._models = registered(self._client.get_experiment(self._experiment).name)
            self._parent = found.data.tags.get(current.PARENT)

    def all(self) -> None:
        """Send what there is. Raises whatever MLflow does, and Damaged."""
        for together, group in groupby(self._journal.events(self._done), lambda event: event["kind"] in POINTS):
            events = list(group)
            if together:
                self._points(events)
                self._note(len(events))
                continue
            for event in events:
                held = event.get("file") or event.get("folder")
                if held is not None and not self._journal.holds(held):
                    raise Damaged(f"{self._journal.folder / held} is damaged")
                try:
                    getattr(self, f"_{event['kind']}")(event)
                except (self._mlflow.exceptions.MlflowException, FileNotFoundError) as error:
                    if getattr(error, "error_code", "INVALID_PARAMETER_VALUE") != "INVALID_PARAMETER_VALUE":
                        raise
                    print(f"warning: MLflow refuses {event['kind']}: {reason(error)}", file=sys.stderr)
                self._note(1)

    def _there(self, run: str) -> Any:
        """The run, unless somebody has deleted it."""
        try:
            found = self._client.get_run(run)
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return found if found.info.lifecycle_stage == "active" else None

    def settle(self) -> None:
        """Close the run of a process that is gone: it is not at work any more."""
        if self.run is not None:
            if self._client.get_run(self.run).info.status == "RUNNING":
                self._client.set_terminated(self.run, "KILLED")
            self._journal.deliver(self._store, self.run, self._done, settled=True)

    def _note(self, events: int) -> None:
        self._done += events
        if self.run is not None:
            self._journal.deliver(self._store, self.run, self._done)

    def _begin(self, event: Event) -> None:
        client = self._client
        self._experiment = _experiment(self._mlflow, client, self._store, event["experiment"])
        self._models = registered(event["experiment"])
        if event["parent_of"] is not None:
            self._parent = _training(client, self._experiment, event["parent_of"])
        found = client.search_runs([self._experiment], f"tags.`{JOURNAL}` = '{event['id']}'", max_results=1)
        if found:
            self.run = found[0].info.run_id
        else:
            nested = {current.PARENT: self._parent} if self._parent else {}
            tags = {**event["tags"], JOURNAL: event["id"], **nested}
            made = client.create_run(self._experiment, start_time=event["at"], tags=tags, run_name=event["name"])
            self.run = made.info.run_id
        parameters = [self._mlflow.entities.Param(name, str(value)) for name, value in event["settings"].items()]
        for start in range(0, len(parameters), PARAMETERS_AT_ONCE):
            client.log_batch(self.run, params=parameters[start : start + PARAMETERS_AT_ONCE])
        if not self._parent:
            names.tell_apart(client, self._experiment, event["tags"][STAGE])

    def _resume(self, _: Event) -> None:
        self._client.update_run(self.run, "RUNNING")

    def _tags(self, event: Event) -> None:
        for name, value in event["values"].items():
            self._client.set_tag(self.run, name, value)

    def _metrics(self, event: Event) -> None:
        """On this run, and on its parent unless that has a figure of that name."""
        points = [self._point(name, value, event, 0) for name, value in event["values"].items()]
        self._client.log_batch(self.run, points)
        unless = event["unless"]
        if self._parent and (unless is None or unless not in self._client.get_run(self._parent).data.metrics):
            self._client.log_batch(self._parent, points)

    def _points(self, events: Iterable[Event]) -> None:
        points = []
        for event in events:
            if event["kind"] == "curve":
                points += [self._point(event["name"], value, event, step) for step, value in event["points"]]
            elif event["kind"] == "system":
                points += [self._point(f"system/{n}", v, event, event["step"]) for n, v in event["values"].items()]
            else:
                row = event["row"]
                points += [self._point(f"train/{n}", v, event, row["step"]) for n, v in row.items() if n != "step"]
        for start in range(0, len(points), POINTS_AT_ONCE):
            self._client.log_batch(self.run, points[start : start + POINTS_AT_ONCE])

    def _point(self, name: str, value: float, event: Event, step: float) -> Any:
        return self._mlflow.entities.Metric(name, float(value), event["at"], int(step))

    def _image(self, event: Event) -> None:
        """A picture by step, under the slider of the run's page.

        As MLflow's `log_image` does it, which would give it another name each time that it is sent.
        """
        from mlflow.tracking.multimedia import compress_image_size
        from PIL import Image

        held = self._journal.folder / event["file"]
        name = "+".join(
            (event["name"].replace("/", "~"), "step", str(event["step"]), "timestamp", str(event["at"]), held.stem)
        )
        with files.scratch() as folder, Image.open(held) as image:
            shutil.copyfile(held, folder / f"{name}.png")
            compress_image_size(image.convert("RGB")).save(folder / f"{name}+compressed.webp")
            self._client.log_artifacts(self.run, str(folder), "images")
        self._client.set_tag(self.run, "mlflow.loggedImages", True)

    def _artefact(self, event: Event) -> None:
        """A file, or all of a folder, under its own name."""
        held = self._journal.folder / event["file"]
        if held.is_dir():
            self._client.log_artifacts(self.run, str(held), event["to"])
            return
        with files.scratch() as folder:
            named = folder / event["name"]
            named.symlink_to(held.absolute())
            self._client.log_artifact(self.run, str(named), event["to"])

    def _data(self, event: Event) -> None:
        """What was read, by its digest."""
        entities = self._mlflow.entities
        dataset = entities.Dataset(event["name"], event["digest"], "local", event["source"], None, event["profile"])
        tags = [entities.InputTag("mlflow.data.context", event["context"])]
        self._client.log_inputs(self.run, [entities.DatasetInput(dataset, tags)])

    def _model(self, event: Event) -> None:
        """The generator, as a model that `mlflow models serve` takes."""
        registry.log_model(self._mlflow, self._store, str(self.run), self._journal.folder / event["folder"])

    def _line(self, event: Event) -> None:
        """A line of the note on the parent, for all that was measured of it."""
        if self._parent:
            note = self._client.get_run(self._parent).data.tags.get(NOTE, "")
            self._client.set_tag(self._parent, NOTE, with_line(note, event["text"]))

    def _candidate(self, event: Event) -> None:
        """A figure by which models are chosen, of the training that this run is nested in."""
        if self._parent:
            with registry.fluent(self._mlflow, self._store):  # where the version's model is looked for
                registry.register(self._client, self._models, self._parent, event["set"], event["figures"])
            known = self._client.get_run(self._parent).data.metrics.get("best/accuracy_validation", -1.0)
            if event["figures"]["validation"] > known:
                best = {"best/accuracy_validation": event["figures"]["validation"]}
                if "test" in event["figures"]:
                    best["best/accuracy"] = event["figures"]["test"]
                self._client.log_batch(self._parent, [self._point(n, v, event, 0) for n, v in best.items()])

    def _end(self, event: Event) -> None:
        self._client.set_terminated(self.run, event["status"], event["at"])
        if self._parent:
            current.settle(self._client, self._experiment, self._parent)
        view.write(self._client, self._experiment)


class Courier(threading.Thread):
    """Delivers beside the work, and never costs it anything: a server may be slow, or not be there."""

    def __init__(self, noting: Journal, store: str) -> None:
        super().__init__(name="tracking", daemon=True)
        self._journal, self._store = noting, store
        self._news, self._last = threading.Event(), threading.Event()
        self._told = False
        self.complete = False

    def run(self) -> None:
        """Until all is delivered, and nothing more comes."""
        mlflow = import_mlflow()
        delivery, pause, swept = None, QUIET, False
        if mlflow is None:
            print("mlflow is not installed: the stage writes its files, `make sync` brings them in", file=sys.stderr)
        while mlflow is not None:
            last = self._last.is_set()  # asked first: what comes later is there by then
            try:
                if not swept:
                    swept = True  # once is enough: the next stage tries again
                    sweep(mlflow)
                delivery = delivery or Delivery(self._journal, mlflow, self._store)
                delivery.all()
                self.complete, pause = last, QUIET
            except Exception as error:  # whatever a server, a database or a client library raises, the work goes on
                delivery, pause = None, min(2 * pause, LONGEST_PAUSE)
                self._tell(error)
            if last:
                return
            self._news.wait(pause)
            self._news.clear()

    def finish(self) -> bool:
        """Wait for the rest while it goes on; whether all of it was delivered."""
        self._last.set()
        self._news.set()
        sent, since = -1, time.monotonic()
        while self.is_alive() and time.monotonic() - since <= PATIENCE:
            self.join(min(1.0, PATIENCE))
            if (now := self._journal.delivered.get("events", 0)) != sent:
                sent, since = now, time.monotonic()
        return self.complete

    def _tell(self, error: Exception) -> None:
        if not self._told:
            print(f"warning: MLflow does not take it ({reason(error)}): it is kept, and sent later", file=sys.stderr)
        self._told = True


class Swept(NamedTuple):
    """How many runs were brought up to date, and the stores that did not take theirs, with what they raised."""

    brought: int
    failed: dict[str, Exception]


def sweep(mlflow: ModuleType) -> Swept:
    """Deliver what processes that are gone have left, and close their runs; one store's failure is none of another's.

    What a stage was killed over is kept, for the stage will go on with it. What is damaged is given up: `sync` makes
    another run from the stage's files.
    """
    count, failed = 0, dict[str, Exception]()
    for noting in journal.left():
        remove, store = False, ""
        try:
            events, done = list(noting.events()), noting.delivered
            if not events:  # of a process that was killed at once
                remove = True
                continue
            if done.get("settled") and done["events"] == len(events):
                continue
            store = os.environ.get("MLFLOW_TRACKING_URI") or events[0]["store"]
            delivery = Delivery(noting, mlflow, store)
            try:
                delivery.all()
                remove = events[-1].get("status") == "FINISHED"
                count += 1
            except Damaged as error:
                print(f"warning: {error}: `make sync` makes a run from the stage's files in its place", file=sys.stderr)
                remove = True
            delivery.settle()
        except Exception as error:  # whatever a server, a database or a client library raises
            failed[store] = error
        finally:
            noting.close(remove=remove)
    return Swept(count, failed)


def _experiment(mlflow: ModuleType, client: Any, store: str, name: str) -> str:
    """The experiment's id; it is made where there is none."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artefacts_of(store)))
        except mlflow.exceptions.MlflowException:
            found = client.get_experiment_by_name(name)  # another process was first
            if found is None:
                raise
    return str(found.experiment_id)


def _training(client: Any, experiment: str, model: str) -> str | None:
    """The run of the training of these weights, the latest where there are several."""
    wanted = f"tags.`{MODEL}` = '{model}' and tags.`{STAGE}` = 'train'"
    found = client.search_runs([experiment], wanted, order_by=["attributes.start_time DESC"], max_results=1)
    return str(found[0].info.run_id) if found else None
