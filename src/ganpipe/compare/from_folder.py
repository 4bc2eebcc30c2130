"""A training read from the files of a project's folder, for `ganpipe compare`: of those that dvc.lock names."""

import csv
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ganpipe.compare.compared import EVALUATE, STAGES, Compared, Curve, Sample, quoted, text
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.tracking import provenance, told
from ganpipe.tracking.run import flat

LOCK = Path("dvc.lock")
MOST = 32 << 20  # bytes of a file that is read


class Folder:
    """A project's folder, and what its dvc.lock holds. UserError where that cannot be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder: name one that holds a dvc.lock")
        if not (folder / LOCK).is_file():
            raise UserError(f"{folder} holds no dvc.lock: `dvc repro` there makes it")
        self.remarks: list[str] = []
        self._missing: list[str] = []
        self._others: list[str] = []
        with _reading(folder / LOCK):
            held = yaml.safe_load(_bytes(folder / LOCK))["stages"]
            self.sections = {
                name.partition("@")[0]: dict(entry["params"]["params.yaml"])
                for name, entry in held.items()
                if name.partition("@")[0] in (*STAGES, "train", EVALUATE)
            }
            self.evaluations = {
                name.partition("@")[2]: dict(entry["params"]["params.yaml"][EVALUATE])
                for name, entry in held.items()
                if name.startswith(f"{EVALUATE}@")
            }
            self._made = {out["path"]: out.get("md5") for entry in held.values() for out in entry.get("outs", [])}
            self._read = {
                name: {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])} for name, entry in held.items()
            }
        if "train" not in self.sections:
            raise UserError(f"{folder / LOCK} holds no training: `dvc repro` there makes one")

    def stale(self, stage: str) -> list[str]:
        """What the stage read and another has made anew since."""
        return [path for path, md5 in self._read.get(stage, {}).items() if self._made.get(path, md5) != md5]

    def here(self, path: Path) -> Path | None:
        """A stage's output, if it is here and is the one that dvc.lock names; else it is in a remark."""
        file, wanted = self.folder / path, self._made.get(path.as_posix())
        if wanted is None:
            return None
        if not file.is_file():
            self.lacks(path)
            return None
        if hashlib.md5(_bytes(file), usedforsecurity=False).hexdigest() != wanted:
            self._others.append(quoted(path.as_posix()))
            return None
        return file

    def lacks(self, path: Path) -> None:
        """An output is not here."""
        self._missing.append(quoted(path.as_posix()))

    def all_remarks(self) -> list[str]:
        """Those of files together, so that a folder without its data gets one sentence."""
        sentences = list(self.remarks)
        if self._missing:
            sentences.append(f"Not here, `dvc pull` may bring it: {', '.join(self._missing)}.")
        if self._others:
            left_out = ", ".join(self._others)
            sentences.append(f"Not what dvc.lock names, and left out, `dvc repro` renews it: {left_out}.")
        return sentences


def read(given: str) -> Compared:
    """The training whose files are in that folder. UserError where they cannot be read."""
    folder = Path(given)
    try:
        return _read(Folder(folder), given)
    except OSError as error:
        where = f"{error.filename or folder}"
        raise UserError(f"{where} cannot be read ({error.strerror}): name another folder, or mend it") from None


def _read(here: Folder, given: str) -> Compared:
    sections = {name: held.get(name) for name, held in here.sections.items() if name != EVALUATE}
    for stage in (*STAGES, "train"):
        for made_anew in here.stale(stage):
            here.remarks.append(
                f"{quoted(made_anew)} was made anew since {stage} read it: the settings may not be the training's."
            )
    figures: dict[str, float] = {}
    for stage in (*STAGES, "train"):
        if path := here.here(told.METRICS / f"{stage}.json"):
            figures |= {f"{stage}/{name}": value for name, value in _figures(path).items() if name != "step"}
    curves: dict[str, Curve] = {}
    if path := here.here(told.PLOTS / "train.csv"):
        curves = {f"train/{name}": curve for name, curve in _curves(path).items()}
    evaluations: dict[str, dict[str, str | None]] = {}
    for labelled, settings in here.evaluations.items():
        if not _is_of_this(here, labelled, settings):
            continue
        found, ways = _evaluation(here, labelled)
        if found:
            evaluations[labelled] = {name: text(value) for name, value in flat({EVALUATE: settings}).items()}
            figures |= {f"{labelled}/{name}": value for name, value in found.items()}
            curves |= {f"{labelled}/{name}": curve for name, curve in ways.items()}
    folders = [told.PROCESSED, *(told.EVALUATION / labelled for labelled in evaluations)]
    digests = {folder.as_posix(): _digest(here.folder / folder) for folder in folders}
    return Compared(
        key=str(here.folder.resolve()),
        name=here.folder.resolve().name,
        place=f"files in {given}",
        began="",
        commit=_commit(here.folder),
        status="",
        parameters={name: text(value) for name, value in flat(sections).items()},
        evaluations=evaluations,
        data={folder: digest for folder, digest in digests.items() if digest},
        figures=figures,
        curves=curves,
        samples=_samples(here, sections["train"]),
        load={},
        took=None,
        remarks=here.all_remarks(),
    )


def _is_of_this(here: Folder, labelled: str, settings: dict[str, Any]) -> bool:
    """Whether a set was measured with the discriminator that is here; else it is remarked on."""
    if Path(labelled).name != labelled:
        return False
    if settings.get("weights"):
        weights = quoted(str(settings["weights"]))
        here.remarks.append(f"{quoted(labelled)} was measured with the weights in {weights}, and is left out.")
        return False
    if told.GAN.as_posix() in here.stale(f"{EVALUATE}@{labelled}"):
        here.remarks.append(f"{quoted(labelled)} was measured before the model was made anew, and is left out.")
        return False
    return True


def _evaluation(here: Folder, labelled: str) -> tuple[dict[str, float], dict[str, Curve]]:
    """A set's figures, also by class, and the accuracy by step, as `told.evaluation` tells them."""
    path = here.here(told.METRICS / "evaluate" / f"{labelled}.json")
    if path is None:
        return {}, {}
    figures, curves = {name: value for name, value in _figures(path).items() if name not in told.SETTINGS}, {}
    if classes := here.here(told.PLOTS / "evaluate" / labelled / "classes.csv"):
        kind = "class" if "accuracy" in figures else "class_validation"
        with _reading(classes):
            figures |= {f"{kind}/{row['class']}": float(row["accuracy"]) for row in _rows(classes)}
    if steps := here.here(told.PLOTS / "evaluate" / labelled / "steps.csv"):
        curve = _curves(steps).get("accuracy_validation", [])
        if len(curve) > 1:
            curves[told.BY_STEP] = curve
    return figures, curves


def _samples(here: Folder, settings: Any) -> dict[int, Sample]:
    """By step, if the model beside them is of these settings."""
    config, folder = here.folder / told.GAN / "config.json", here.folder / told.GAN / "samples"
    if not config.is_file():
        here.lacks(told.GAN)
        return {}
    with _reading(config):
        made_with = json.loads(_bytes(config))["train"]
    if made_with != settings:
        here.remarks.append(f"{quoted(told.GAN.as_posix())} is of other settings than dvc.lock's: no samples.")
        return {}
    pictures = {path.stem.removeprefix("step-"): path for path in sorted(folder.glob("step-*.png"))}
    return {
        int(step): Sample(path.stat().st_size, path.read_bytes)
        for step, path in pictures.items()
        if step.isascii() and step.isdigit()
    }


def _figures(path: Path) -> dict[str, float]:
    """Those that are numbers."""
    with _reading(path):
        held = json.loads(_bytes(path)).items()
        return {name: float(value) for name, value in held if isinstance(value, int | float)}


def _curves(path: Path) -> dict[str, Curve]:
    """By column, of those that hold anything."""
    curves: dict[str, Curve] = {}
    with _reading(path):
        for row in _rows(path):
            step = int(row.pop("step"))
            for name, value in row.items():
                if value:
                    curves.setdefault(name, []).append((step, float(value)))
    return curves


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(_bytes(path).decode().splitlines()))


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        held = file.read(MOST + 1)
    if len(held) > MOST:
        raise UserError(f"{path} is larger than {MOST >> 20} MB: the pipeline did not write it")
    return held


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, csv.Error) as error:
        raise UserError(f"{path} is not as the pipeline writes it ({type(error).__name__}): make it anew") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def _digest(folder: Path) -> str:
    """Of the images in it; empty where they are not here."""
    try:
        return Images(folder).digest
    except (UserError, OSError, ValueError, KeyError):
        return ""


def _commit(folder: Path) -> str:
    """What is checked out there, and whether it was changed; empty where that is not known."""
    found = provenance.checked_out(folder)
    return "" if found is None else found[0][:8] + (" and changes" if found[1] else "")
