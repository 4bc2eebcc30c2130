"""What `ganpipe compare` found in words, the same on the page and in the table: figures, differences, verdicts."""

import math
import re
from collections.abc import Callable

from ganpipe.compare.tables import Change, Comparison, Measure, Row, is_control


def setting(value: str | None) -> str:
    """A setting's value as it is shown."""
    return "null" if value is None else value


def figure(key: str, value: float) -> str:
    """A figure as it is shown: shares of images in per cent, counts whole."""
    name = key.rpartition("/")[2]
    if name.startswith("accuracy") or "/class/" in key or "/class_validation/" in key:
        return f"{value:.2%}"
    if not math.isfinite(value):
        return str(value)
    return f"{int(value):,}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"


def interval(measure: Measure) -> str:
    """Its ends, in per cent; empty without."""
    return "" if measure.low is None or measure.high is None else f"{_points(measure.low)} to {_points(measure.high)}"


def difference(row: Row, changed: Change) -> str:
    """Signed; of accuracies in points, hundredths of the whole."""
    if not math.isfinite(changed.difference):
        return str(changed.difference)
    if figure(row.key, 1.0).endswith("%"):
        return _signed(changed.difference, _points)
    return _signed(changed.difference, lambda value: figure(row.key, value))


def spread(changed: Change) -> str:
    """The ends of the difference's interval, in points; empty without."""
    if changed.low is None or changed.high is None:
        return ""
    return f"{_signed(changed.low, _points)} to {_signed(changed.high, _points)}"


def moved(changed: Change) -> str:
    """Whether it is beyond chance."""
    if changed.moved is None:
        return "not known"
    if changed.by == "overlap":
        return "no, intervals overlap" if changed.moved == "no" else f"{changed.moved}, intervals apart"
    return changed.moved


def verdict(comparison: Comparison, number: int, set_name: Callable[[str], str]) -> str:
    """What moved in the run of that number, in words, but for the names of sets, which `set_name` writes."""
    changes = [(row, row.changes[number]) for row in comparison.accuracies]
    known = [(row, changed) for row, changed in changes if changed is not None]
    if not known:
        return "no accuracy that both have"
    moves = [(row, changed) for row, changed in known if changed.moved in ("up", "down")]
    parts = []
    for row, changed in moves:
        if not is_control(row):
            ends = f" ({spread(changed)})" if changed.low is not None else ""
            by = difference(row, changed).lstrip("+-")
            parts.append(f"{set_name(row.labelled)} {row.name} {changed.moved} by {by} points{ends}")
    if moves and len(parts) < len(moves):
        count = len(moves) - len(parts)
        parts.append(f"{count} figure{'s' * (count > 1)} of controls moved{', too' if parts else ''}")
    if parts:
        return "; ".join(parts)
    if all(changed.moved is None for _, changed in known):
        return "no interval to tell a change by"
    return "no accuracy moved beyond chance"


def notes(comparison: Comparison) -> list[str]:
    """How the intervals are to be read, as far as they are there."""
    measures = [measure for row in comparison.accuracies for measure in row.measures if measure is not None]
    changes = [changed for row in comparison.accuracies for changed in row.changes if changed is not None]
    told = []
    if any(measure.of == "images" for measure in measures):
        counts = [measure.images for measure in measures if measure.images]
        images = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
        told.append(
            f"Intervals are of 95 %, of shares of {images} images; that of a difference takes the two shares for "
            "independent (Newcombe 1998, method 10), which is cautious where both are of the same images."
        )
        told.append("They are of the images alone: another seed of the training may move a figure by more.")
        told.append("Of twenty figures that did not change, one seems to have moved.")
    if any(measure.of == "draws" for measure in measures):
        told.append("With few labels, intervals are of the mean over draws of labels.")
    if any(changed.by == "overlap" for changed in changes):
        told.append("Where the number of images is not known, a figure moved if the two intervals lie apart.")
    if any(changed.moved is None for changed in changes):
        told.append("A figure without an interval says nothing of chance.")
    return told


def _points(value: float) -> str:
    return f"{100 * value:.2f}"


def _signed(value: float, shown: Callable[[float], str]) -> str:
    """With its sign, unless it is shown as nothing."""
    words = shown(abs(value))
    return words if not re.search("[1-9]", words) else f"{'+' if value > 0 else '-'}{words}"
