"""A training as `ganpipe compare` takes it, wherever it was read from: the store, or a folder's files."""

from collections.abc import Callable
from typing import NamedTuple

Curve = list[tuple[int, float]]  # steps, ascending, and values, which may be no numbers (NaN)
EVALUATE = "evaluate"  # the stage that measures a set, and its section
STAGES = ("download", "dedupe", "preprocess")  # whose figures are counts


class Sample(NamedTuple):
    """A grid of samples, read when it is wanted."""

    size: int  # bytes
    read: Callable[[], bytes]  # a PNG file's


class Compared(NamedTuple):
    """A training and what was measured of it."""

    key: str  # equal for the same training read twice
    name: str
    place: str  # where it was read from, to show
    began: str
    commit: str
    status: str  # empty of one that ended well
    parameters: dict[str, str | None]  # by `section.name`, as text; None is empty
    evaluations: dict[str, dict[str, str | None]]  # by set: the parameters of the section that measured it
    data: dict[str, str]  # digests of what was read, by folder
    figures: dict[str, float]  # `train/loss_d`, `dedupe/kept`, `cifar10/accuracy`
    curves: dict[str, Curve]  # `train/loss_d`, `cifar10/accuracy_validation_by_step`
    samples: dict[int, Sample]  # by step
    load: dict[str, list[float]]  # of the machine, as it was looked at, by MLflow's names
    took: float | None  # seconds from start to end
    remarks: list[str]  # sentences: what is not as it seems; names of others' making are between backticks


def text(value: object) -> str | None:
    """A setting as it is compared, which MLflow keeps as text."""
    return None if value is None or value == "None" else str(value)


def quoted(name: str) -> str:
    """A name of others' making in a remark."""
    return f"`{name.replace('`', '?')}`"
