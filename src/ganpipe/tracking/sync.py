"""Bring MLflow up to date with the files: what could not be delivered, and what DVC brought back without running it."""

import hashlib
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import yaml

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models.store import load_config
from ganpipe.settings import read_params
from ganpipe.tracking import current, inputs, journal, names, told, view
from ganpipe.tracking.client import import_mlflow, reason, refusals
from ganpipe.tracking.delivery import Delivery, sweep
from ganpipe.tracking.journal import Journal
from ganpipe.tracking.run import OF_A_MODEL, STAGES, Run, begin, flat, key_of, upstream
from ganpipe.tracking.store import (
    KEY,
    experiment,
    make_store,
    refuse_damaged,
    store_uri,
    without_passwords,
)

LOCK = Path("dvc.lock")


class Entry(NamedTuple):
    """What dvc.lock holds of a stage: settings by section, and the checksums of what it read and made, by path."""

    sections: dict[str, Any]
    deps: dict[str, str | None]
    outs: dict[str, str | None]


class Locked(NamedTuple):
    """A stage of dvc.lock whose outputs are here."""

    name: str  # also of one set: evaluate@cifar10
    settings: dict[str, Any]  # of its section and those before it, by `section.name`
    inputs: dict[str, str]
    parent_of: str | None  # the checksum of the weights that were measured

    @property
    def stage(self) -> str:
        """Its name without that of a set."""
        return self.name.partition("@")[0]

    @property
    def key(self) -> str:
        """By which its run is known."""
        return key_of(self.stage, self.inputs, self.settings)


def sync() -> tuple[int, list[str]]:
    """How many runs were brought up to date, and the stages for which one was made. UserError where MLflow fails."""
    read_params()  # or this is no project's folder
    mlflow = import_mlflow()
    if mlflow is None:
        raise UserError("there is no MLflow to bring anything to: pip install 'ganpipe[pipeline]'")
    store = store_uri()
    refuse_damaged(store)
    swept = sweep(mlflow)
    try:
        client = mlflow.MlflowClient(make_store(mlflow, store))
        if (known := client.get_experiment_by_name(experiment())) is not None:
            for name in STAGES:
                if name not in OF_A_MODEL:
                    names.tell_apart(client, known.experiment_id, name)
            current.settle(client, known.experiment_id)
            view.write(client, known.experiment_id)
        missing = [stage for stage in locked() if not _is_there(client, stage.key)]
        for stage in missing:
            _restore(mlflow, store, stage)
    except refusals(mlflow) as error:
        place = without_passwords(store)
        raise UserError(f"MLflow at {place} does not take it ({reason(error)}): {_advice(error)}") from None
    if swept.failed:
        others = "; ".join(f"{without_passwords(place)} ({reason(error)})" for place, error in swept.failed.items())
        todo = " or ".join(dict.fromkeys(map(_advice, swept.failed.values())))
        raise UserError(
            f"what was told to {others} could not be sent: {todo}, or name the store that is to have it by "
            "MLFLOW_TRACKING_URI; all else was brought in"
        )
    return swept.brought, [stage.name for stage in missing]


def _advice(error: Exception) -> str:
    unknown = getattr(error, "error_code", None) == "UNAUTHENTICATED"
    return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" if unknown else "run `make sync` again later"


def locked() -> Iterator[Locked]:
    """The stages of dvc.lock whose outputs are here, in their order, with the settings that they were made with.

    UserError where the file cannot be read.
    """
    entries = _entries()
    made = {path: md5 for entry in entries.values() for path, md5 in entry.outs.items()}
    known = [
        name
        for name, entry in entries.items()
        if (stage := name.partition("@")[0]) in STAGES and stage in entry.sections
    ]
    sections: dict[str, Any] = {}
    for name in sorted(known, key=lambda name: (STAGES.index(name.partition("@")[0]), name)):
        stage, _, labelled = name.partition("@")
        entry = entries[name]
        sections[stage] = entry.sections[stage]
        # An entry of a set that is measured no more stays in the lock, and is of an earlier training.
        late = any(made.get(path, md5) != md5 for path, md5 in entry.deps.items())
        gone = stage == "evaluate" and not (told.EVALUATION / labelled / "manifest.json").exists()
        if late or gone or not all(_is_here(Path(path), md5) for path, md5 in entry.outs.items()):
            continue
        try:
            read, parent = _inputs(stage, labelled, sections)
        except UserError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
        else:
            yield Locked(name, flat(upstream(sections, stage)), read, parent)


def _entries() -> dict[str, Entry]:
    """Those of dvc.lock, by the stages' names; none where there is no such file."""
    if not LOCK.exists():
        return {}
    try:
        held = yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"]
        return {
            name: Entry(
                sections=dict(entry.get("params", {}).get("params.yaml", {})),
                deps={dep["path"]: dep.get("md5") for dep in entry.get("deps", ())},
                outs={out["path"]: out.get("md5") for out in entry.get("outs", ())},
            )
            for name, entry in held.items()
        }
    except (yaml.YAMLError, ValueError, AttributeError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())
        raise UserError(f"{LOCK} is not as DVC writes it ({why}): git checkout {LOCK}, or end the merge") from None


def _inputs(stage: str, labelled: str, sections: dict[str, Any]) -> tuple[dict[str, str], str | None]:
    """As the stage itself gives them to `track`: what it read, and whose training its run is nested in."""
    if stage in OF_A_MODEL:
        section = sections[stage]
        checksums = load_config(Path(section.get("weights") or told.GAN))["sha256"]
        if stage == "analyse":
            corpus = told.corpus(sections["download"]["name"])
            read = {"processed": Images(corpus).digest, "weights": checksums["generator"]}
        else:
            measured = checksums["discriminator_average" if section["average"] else "discriminator"]
            read = {"evaluation": Images(told.EVALUATION / labelled).digest, "weights": measured}
        return read, checksums["discriminator"]
    if stage == "train":
        return {"processed": Images(told.corpus(sections["download"]["name"])).digest}, None
    if stage == "download":
        return {}, None
    raw = Images(told.RAW / sections["download"]["name"])
    if stage == "dedupe":
        return inputs.of_dedupe(raw, inputs.evaluation_sets(told.EVALUATION)), None
    return inputs.of_preprocess(raw, told.DEDUPED), None


def _is_here(out: Path, md5: str | None) -> bool:
    """Whether an output is there, and a file is the one that the lock names."""
    if out.is_file():
        return hashlib.md5(out.read_bytes(), usedforsecurity=False).hexdigest() == md5
    return out.is_dir()


def _is_there(client: Any, key: str) -> bool:
    """Whether the store has a finished run of it, in whose place no measurement with other settings has come."""
    found = client.get_experiment_by_name(experiment())
    wanted = f"tags.`{KEY}` = '{key}' and attributes.status = 'FINISHED'"
    return found is not None and any(map(current.is_current, client.search_runs([found.experiment_id], wanted)))


def _restore(mlflow: ModuleType, store: str, stage: Locked) -> None:
    """Make the run of a stage from its files."""
    noting = Journal(journal.root() / f"{stage.key}-{uuid.uuid4().hex[:8]}")
    noting.take()
    run, settings = Run(noting), stage.settings
    name = names.own(stage.stage, settings) if stage.parent_of is None else stage.name
    begin(run, noting, stage.stage, name, stage.inputs, stage.parent_of, settings)
    run.tags({"ganpipe.synced": "true"})  # so its times are those of this, not of the work
    if stage.stage == "evaluate":
        labelled = stage.name.partition("@")[2]
        told.evaluation(run, labelled, Images(told.EVALUATION / labelled))
    elif stage.stage == "train":
        told.curves_and_samples(run)
        told.training(run, Images(told.corpus(settings["download.name"])))
    elif stage.stage == "dedupe":
        told.dedupe(run)
    elif stage.stage == "analyse":
        told.analysis(run)
    else:
        raw = told.RAW / settings["download.name"]
        told.data(run, stage.stage, raw if stage.stage == "download" else told.PROCESSED)
    run.note("end", status="FINISHED")
    try:
        Delivery(noting, mlflow, store).all()
        noting.close(remove=True)
    finally:
        noting.close()
