"""MLflow as a sink of what the stages wrote. Files are the truth: a lost tracking server never stops a stage.

A training is a parent run; each evaluation of its discriminator is nested in it, found by the checksum of the weights,
and puts its figures on the parent too, so that one table compares everything. Stages that make data have runs of their
own, linked by the checksums of what they made and read. A stage that was killed and started again goes on in the run
it had, and logs no step twice. All of it goes through a journal on disk (`journal`), and from there to MLflow beside
the work (`delivery`).
"""

import json
import os
import re
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganpipe import files
from ganpipe.runtime import world
from ganpipe.settings import read_params
from ganpipe.tracking import journal, names, notes, provenance
from ganpipe.tracking.delivery import Courier
from ganpipe.tracking.journal import Journal
from ganpipe.tracking.store import IMAGES, KEY, MADE, STAGE, experiment, store_uri

STAGES = ("download", "dedupe", "preprocess", "train", "evaluate", "analyse")  # that read settings, in their order
OF_A_MODEL = ("evaluate", "analyse")  # which do not follow from one another
NO_NAME, LONGEST_NAME = re.compile(r"[^\w.\- :/]"), 250  # what MLflow takes for a metric
SAMPLING = 10.0  # seconds between two looks at the machine's load


class Run:
    """What a stage has to tell of itself; without a journal, nothing is told."""

    def __init__(self, noting: Journal | None) -> None:
        self._journal = noting
        self._seen = -1  # the last step that is in the journal
        self._pictured: set[tuple[str, int]] = set()  # pictures by step that are
        self._loads = 0  # looks at the machine's load that are

    def note(self, kind: str, **what: Any) -> None:
        """An event of `delivery.Delivery`."""
        if self._journal is not None:
            self._journal.note(kind, **what)

    def tags(self, values: dict[str, str]) -> None:
        """Set tags."""
        self.note("tags", values=values)

    def describe(self, text: str) -> None:
        """What a person reads first on the run's page."""
        self.tags({notes.NOTE: text})

    def made(self, digest: str) -> None:
        """The checksum of the images that the stage made, by which its readers are found."""
        self.tags({MADE: digest})

    def metrics(self, values: Mapping[str, Any], prefix: str = "", unless: str | None = None) -> None:
        """Final figures, numbers only, on this run and on its parent, unless that has a figure named `unless`."""
        numbers = {
            NO_NAME.sub("_", prefix + name)[:LONGEST_NAME]: float(value)
            for name, value in values.items()
            if isinstance(value, int | float | bool)
        }
        self.note("metrics", values=numbers, unless=unless)

    def curve(self, name: str, values: dict[int, float]) -> None:
        """A figure by step of the training, on this run."""
        self.note("curve", name=name, points=sorted(values.items()))

    def tick(self, row: dict[str, float]) -> None:
        """A row of the curves, at its step and the present time; rows that this run already has are passed over."""
        if int(row["step"]) > self._seen:
            self.note("tick", row=row)
            self._seen = int(row["step"])

    def picture(self, name: str, path: Path, step: int | None = None) -> None:
        """A picture: by step under the slider of the run's page, or as a file among its artefacts."""
        if step is None:
            self.artefact(path, name)
        elif self._journal is not None and (name, step) not in self._pictured:
            self.note("image", name=name, step=step, file=self._journal.keep(path))
            self._pictured.add((name, step))

    def artefact(self, path: Path, to: str) -> None:
        """A file, or all of a folder, in the folder `to` of the run's artefacts."""
        if self._journal is not None:
            self.note("artefact", file=self._journal.keep(path), name=path.name, to=to)

    def reads(self, context: str, images: Any) -> None:
        """What the stage reads, `corpus.shards.Images`, for `training` or `evaluation`: by the shards' checksums."""
        shards = {shard["file"]: shard["sha256"] for shard in images.manifest["shards"]}
        profile = json.dumps({"images": len(images), "shards": shards})
        about = {"name": images.name, "digest": images.digest, "source": str(images.folder)}
        self.note("data", context=context, profile=profile, **about)

    def model(self, folder: Path) -> None:
        """What a training made: its generator is to be served, and its config is told in a sentence."""
        if self._journal is not None:
            self.note("model", folder=self._journal.keep(folder, ("generator.safetensors", "config.json")))
            self.describe(notes.of_training(json.loads((folder / "config.json").read_text())))

    def measured(self, labelled: str, metrics: Mapping[str, Any]) -> None:
        """The accuracies on a set, told on this run and on the training's, and noted there to choose models by."""
        self.describe(text := notes.of_evaluation(labelled, metrics))
        self.note("line", text=text)
        figures = {"validation": metrics["accuracy_validation"]}
        if "accuracy" in metrics:
            figures["test"] = metrics["accuracy"]
        self.note("candidate", set=labelled, figures=figures)

    def continued(self) -> None:
        """Take in what an earlier life of this run has told."""
        for event in self._journal.events() if self._journal is not None else ():
            if event["kind"] == "tick":
                self._seen = max(self._seen, int(event["row"]["step"]))
            if event["kind"] == "image":
                self._pictured.add((event["name"], event["step"]))
            self._loads += event["kind"] == "system"

    def load(self, values: dict[str, float]) -> None:
        """A look at the machine's load."""
        self.note("system", step=self._loads, values=values)
        self._loads += 1


@contextmanager
def track(stage: str, inputs: dict[str, str], name: str | None = None, parent_of: str | None = None) -> Iterator[Run]:
    """The run of a stage: its name, parameters and provenance told at the start, its outcome at the end.

    `inputs` maps what the stage reads to checksums and becomes tags. `parent_of` is the checksum of the weights whose
    training this run is to be nested in.
    """
    if world()[0] != 0:  # of several processes the first one speaks
        yield Run(None)
        return
    settings = flat(upstream(read_params(), stage))
    key = key_of(stage, inputs, settings)
    noting = Journal(journal.root() / key)
    if not noting.take() or any(event.get("status") == "FINISHED" for event in noting.events()):
        noting.close()  # the same stage runs elsewhere, too, or has run, and waits to be delivered
        noting = Journal(journal.root() / f"{key}-{uuid.uuid4().hex[:8]}")
        noting.take()
    run = Run(noting)
    begin(run, noting, stage, name or stage, inputs, parent_of, settings)
    courier = Courier(noting, store_uri())
    courier.start()
    status = "FAILED"
    try:
        with _load_watched(run):
            yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.note("end", status=status)
        complete = courier.finish()
        if not complete:
            print("tracking: MLflow does not have all of it yet; `make sync` sends the rest", file=sys.stderr)
        noting.close(remove=complete and status == "FINISHED")


def begin(
    run: Run,
    noting: Journal,
    stage: str,
    name: str,
    inputs: dict[str, str],
    parent_of: str | None,
    settings: dict[str, Any],
) -> None:
    """The first event, or that it goes on."""
    if next(noting.events(), None) is not None:
        run.continued()
        run.note("resume")
        return
    tags = {
        STAGE: stage,
        KEY: key_of(stage, inputs, settings),
        "ganpipe.parameters": files.digest(settings),
        "mlflow.source.name": f"stages/{stage}.py",
        "mlflow.source.type": "LOCAL",
        **{f"{IMAGES}.{label}": value for label, value in inputs.items()},
        **provenance.tags(),
    }
    about = {"name": name, "parent_of": parent_of, "settings": settings, "tags": tags}
    run.note("begin", id=uuid.uuid4().hex, experiment=experiment(), store=store_uri(), **about)


def run_name(settings: str) -> str:
    """What a training is called in tables: what it is; in an experiment of DVC its name there, and what it tries."""
    experiment = os.environ.get("DVC_EXP_NAME")
    if not experiment:
        return settings
    now, before = (flat(upstream(sections, "train")) for sections in (read_params(), provenance.committed()))
    return names.of_experiment(experiment, now, before)


def key_of(stage: str, inputs: dict[str, str], settings: dict[str, Any]) -> str:
    """By which a stage's run of these settings on these inputs is known."""
    return files.digest({"stage": stage, "inputs": inputs, "settings": settings})


def upstream(sections: dict[str, Any], stage: str) -> dict[str, Any]:
    """The sections that a stage's result may follow from: those before it, and its own."""
    before = [name for name in STAGES[: STAGES.index(stage)] if name not in OF_A_MODEL]
    return {name: values for name, values in sections.items() if name in (*before, stage)}


def flat(sections: dict[str, Any]) -> dict[str, Any]:
    """Settings by `section.name`."""
    return {
        f"{section}.{name}": value
        for section, settings in sections.items()
        if isinstance(settings, dict)
        for name, value in settings.items()
    }


@contextmanager
def _load_watched(run: Run) -> Iterator[None]:
    """Note the machine's load now and then, under the names that MLflow's own monitors give it."""
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(run, over), name="load", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(run: Run, over: threading.Event) -> None:
    try:
        import psutil
    except ImportError:  # a bare machine
        return
    psutil.cpu_percent()  # the first answer is of no time at all
    while not over.wait(SAMPLING):
        memory = psutil.virtual_memory()
        values = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
            "system_memory_usage_percentage": memory.percent,
            "disk_available_megabytes": round(psutil.disk_usage(".").free / 1e6, 1),
            **_gpu_load(),
        }
        run.load(values)


def _gpu_load() -> dict[str, float]:
    torch = sys.modules.get("torch")  # not for this: it takes seconds
    if torch is None or not torch.cuda.is_initialized():
        return {}
    found = {}
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        found[f"gpu_{number}_memory_usage_megabytes"] = round((total - free) / 1e6, 1)
        found[f"gpu_{number}_memory_usage_percentage"] = round(100 * (1 - free / total), 1)
    return found
