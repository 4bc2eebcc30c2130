"""What differs between trainings, and which figures moved beyond chance: functions of what was read of them."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from ganpipe.compare.compared import STAGES, Compared
from ganpipe.intervals import wilson

ACCURACY = re.compile(r"accuracy(_clean|_validation)?(?:_(\d+)_a_class)?(_random_init|_pixels|_supervised)?")
PARTS = {"": "test", "_clean": "test without duplicates", "_validation": "validation"}
CONTROLS = {"": "", "_random_init": ", untrained", "_pixels": ", pixels", "_supervised": ", supervised"}
# What stands beside an accuracy in its cell, or is told elsewhere.
WITHIN = re.compile(r"accuracy_(low|high|error|deviation)(_.*)?")


class Measure(NamedTuple):
    """An accuracy with its 95 % interval, where there is one, and what that is of."""

    value: float
    low: float | None = None
    high: float | None = None
    of: Literal["images", "ends", "draws"] | None = None  # so many images; only the ends are known; draws of labels
    images: int = 0


class Change(NamedTuple):
    """From the baseline's figure to another one's."""

    difference: float
    low: float | None  # of a 95 % interval of the difference
    high: float | None
    moved: Literal["up", "down", "no"] | None  # None: there is nothing to tell it by
    by: Literal["difference", "overlap"] | None


class Row(NamedTuple):
    """A figure of all runs; None where a run has none."""

    key: str  # as it is tracked
    name: str  # in words: of an accuracy without its set
    measures: list[Measure | None]
    changes: list[Change | None]  # the first is None: the baseline's

    @property
    def labelled(self) -> str:
        """The set that an accuracy is of."""
        return self.key.rpartition("/")[0]


class Setting(NamedTuple):
    """A setting, or another thing that the results follow from, of all runs."""

    name: str
    values: list[str | None]  # "" where a run has none, None where it is empty


class Comparison(NamedTuple):
    """Of all runs, the first of which is the baseline."""

    runs: list[Compared]
    settings: list[Setting]  # those that differ
    equal_settings: int
    accuracies: list[Row]
    counts: list[Row]  # those that differ
    rest: list[Row]  # those that differ
    equal_figures: int  # beside the accuracies


def compare_runs(runs: Sequence[Compared]) -> Comparison:
    """All of it, of two runs at least."""
    every = list(_settings(runs))
    settings = [each for each in every if len(set(each.values)) > 1]
    accuracies = _accuracies(runs)
    told = {row.key for row in accuracies}
    others = [
        _row(key, key, [_plain(run.figures.get(key)) for run in runs])
        for key in _in_order(run.figures for run in runs)
        if key not in told and not WITHIN.fullmatch(key.rpartition("/")[2])
    ]
    differing = [row for row in others if _differs(row, runs)]
    counts = [row for row in differing if row.key.split("/")[0] in STAGES]
    rest = [row for row in differing if row.key.split("/")[0] not in STAGES]
    equal = len(others) - len(differing)
    return Comparison(list(runs), settings, len(every) - len(settings), accuracies, counts, rest, equal)


def newcombe(share: float, count: int, other: float, others: int) -> tuple[float, float]:
    """95 % interval of `other - share`, shares of `others` and `count` independent trials.

    Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10: the ends of the
    two Wilson intervals, squared and added.
    """
    (low, high), (other_low, other_high) = wilson(share, count), wilson(other, others)
    difference = other - share
    return (
        difference - math.hypot(other - other_low, high - share),
        difference + math.hypot(other_high - other, share - low),
    )


def change(base: Measure | None, other: Measure | None) -> Change | None:
    """From one to the other, and whether that is beyond chance; None where one is missing."""
    if base is None or other is None:
        return None
    difference = other.value - base.value
    if base.of == other.of == "images":
        low, high = newcombe(base.value, base.images, other.value, other.images)
        return Change(difference, low, high, _side(low, high), "difference")
    if base.low is None or base.high is None or other.low is None or other.high is None:
        return Change(difference, None, None, None, None)
    if base.of == other.of == "draws":
        spread = math.hypot(base.high - base.value, other.high - other.value)
        low, high = difference - spread, difference + spread
        return Change(difference, low, high, _side(low, high), "difference")
    apart = _side(other.low - base.high, other.high - base.low)
    return Change(difference, None, None, apart, "overlap")


def is_control(row: Row) -> bool:
    """Whether it is an accuracy of something else than the discriminator."""
    return row.key.endswith(tuple(filter(None, CONTROLS)))


def alone(comparison: Comparison, number: int) -> dict[int, list[str]]:
    """The sets that only one of the baseline, 0, and the run of that number was measured on, by which."""
    found: dict[int, list[str]] = {}
    for labelled in dict.fromkeys(row.labelled for row in comparison.accuracies):
        rows = [row for row in comparison.accuracies if row.labelled == labelled]
        base, other = (any(row.measures[each] for row in rows) for each in (0, number))
        if base != other:
            found.setdefault(0 if base else number, []).append(labelled)
    return found


def _side(low: float, high: float) -> Literal["up", "down", "no"]:
    """Of zero, on which an interval lies."""
    return "up" if low > 0 else "down" if high < 0 else "no"


def _settings(runs: Sequence[Compared]) -> Iterable[Setting]:
    """All settings: those that measured the sets by set, unless in each run they are one and the same for all sets."""
    for name in _in_order(run.parameters for run in runs):
        yield Setting(name, [run.parameters.get(name, "") for run in runs])
    for name in _in_order(settings for run in runs for settings in run.evaluations.values()):
        by_run = [{settings[name] for settings in run.evaluations.values() if name in settings} for run in runs]
        if all(len(values) <= 1 for values in by_run):
            yield Setting(name, [next(iter(values), "") for values in by_run])
            continue
        for labelled in _in_order(run.evaluations for run in runs):
            values = [run.evaluations.get(labelled, {}).get(name, "") for run in runs]
            yield Setting(f"{name} ({labelled})", values)
    for folder in _in_order(run.data for run in runs):
        digests = [run.data.get(folder, "") for run in runs]
        if all(digests):  # a folder that is not here says nothing
            yield Setting(f"checksum of {folder}", list(digests))


def _accuracies(runs: Sequence[Compared]) -> list[Row]:
    """Those of the sets: of each with all labels on test and on validation, with few labels, then of its controls."""
    found: dict[str, dict[tuple[int, int, int], re.Match[str]]] = {}
    for key in _in_order(run.figures for run in runs):
        labelled, _, name = key.rpartition("/")
        match = ACCURACY.fullmatch(name)
        if match and labelled not in ("", "best", "train"):
            part, few, control = match[1] or "", int(match[2] or 0), match[3] or ""
            place = (list(CONTROLS).index(control), few, list(PARTS).index(part))
            found.setdefault(labelled, {})[place] = match
    rows = []
    for labelled, matches in sorted(found.items()):
        for _, match in sorted(matches.items(), key=lambda item: item[0]):
            labels = f", {int(match[2]):,} labels a class" if match[2] else ""
            name = f"{PARTS[match[1] or '']}{labels}{CONTROLS[match[3] or '']}"
            rows.append(_row(f"{labelled}/{match[0]}", name, [_measure(run, labelled, match) for run in runs]))
    return rows


def _measure(run: Compared, labelled: str, match: re.Match[str]) -> Measure | None:
    value = run.figures.get(f"{labelled}/{match[0]}")
    if value is None:
        return None
    if not 0 <= value <= 1:
        return Measure(value)
    part, rest = match[1] or "", match[0].removeprefix("accuracy")
    error = run.figures.get(f"{labelled}/accuracy_error{rest}")
    if error is not None:
        return Measure(value, value - error, value + error, "draws")
    low, high = (run.figures.get(f"{labelled}/accuracy_{end}{rest}") for end in ("low", "high"))
    images = _images(run, labelled, part) if not match[2] or part != "_validation" else 0  # means over draws there
    if images:
        low, high = (low, high) if low is not None and high is not None else wilson(value, images)
        return Measure(value, low, high, "images", images)
    return Measure(value) if low is None or high is None else Measure(value, low, high, "ends")


def _images(run: Compared, labelled: str, part: str) -> int:
    """How many images that accuracy is a share of; 0 where it is not known."""
    if part != "_validation":
        return _count(run.figures.get(f"{labelled}/test_images{part}"))
    share = run.evaluations.get(labelled, {}).get("evaluate.validation")
    try:
        number = float(share or 0)
    except ValueError:
        return 0
    # Of a share, which is taken of each class, it may be some images more or less.
    return _count(number if number >= 1 else number * run.figures.get(f"{labelled}/train_images", 0))


def _count(number: float | None) -> int:
    return round(number) if number is not None and 0 < number < 1e12 else 0


def _row(key: str, name: str, measures: list[Measure | None]) -> Row:
    return Row(key, name, measures, [None, *(change(measures[0], other) for other in measures[1:])])


def _plain(value: float | None) -> Measure | None:
    return None if value is None else Measure(value)


def _differs(row: Row, runs: Sequence[Compared]) -> bool:
    """Between the runs that have any figure of that stage or set; what is no number equals its like."""
    group = row.key.split("/")[0] + "/"
    told = [any(key.startswith(group) for key in run.figures) for run in runs]
    values = {repr(measure and measure.value) for measure, has in zip(row.measures, told, strict=True) if has}
    return len(values) > 1


def _in_order(names: Iterable[Iterable[str]]) -> list[str]:
    """Each once, in the order in which they come first."""
    return list(dict.fromkeys(name for some in names for name in some))
