"""Which grids of samples stand side by side on the page of `ganpipe compare`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ganpipe.compare.compared import Sample

SIZE = 16 << 20  # bytes of all pictures on a page
PNG = b"\x89PNG\r\n\x1a\n"

Steps = tuple[int | None, ...]  # of each run; None of one without samples


class Chosen(NamedTuple):
    """Steps to show together, ascending, the ends last; and sentences about them, empty where none is due."""

    rows: list[Steps]
    said: str
    left_out: str


def choose(samples: Sequence[Mapping[int, Sample]], size: int = SIZE) -> Chosen:
    """The steps that all runs have; where those are too few, the first run's, with the nearest of the others.

    Of more than fit into `size`, some are left out, evenly, but never the ends.
    """
    having = [sorted(held) for held in samples if held]
    if not having:
        return Chosen([], "", "")
    common = sorted(set(having[0]).intersection(*having[1:]))
    nearest = len(common) < 2 and any(len(steps) > 1 for steps in having)
    rows: list[Steps] = [
        tuple(min(held, key=lambda other: (abs(other - step), other)) if held else None for held in samples)
        for step in (having[0] if nearest else common)
    ]
    ends: Steps = tuple(max(held) if held else None for held in samples)
    said = "Shown are the steps that all have." if len(having) > 1 else ""
    if nearest:
        few = "no step" if not common else f"step {common[0]:,} only"
        said = f"The runs have {few} in common: those nearest to the first run's stand beside them."
    if not rows or rows[-1] != ends:
        rows = [*(row for row in rows if row != ends), ends]
        said += " The last are the ends, at steps of their own."
    kept = _fitting(rows, samples, size)
    left_out = ""
    if len(kept) < len(rows):
        left_out = f"Left out: {len(rows) - len(kept)} of {len(rows)} steps, for the page would be too large."
    return Chosen(kept, said.strip(), left_out)


def png(sample: Sample) -> bytes:
    """Its bytes. ValueError where they are no PNG's, or more than a page holds."""
    held = sample.read()
    if not held.startswith(PNG) or len(held) > SIZE:
        raise ValueError("no picture for a page")
    return held


def _fitting(rows: list[Steps], samples: Sequence[Mapping[int, Sample]], size: int) -> list[Steps]:
    """As many as fit, evenly, the last among them, and the first where there are two."""
    for count in range(len(rows), 0, -1):
        places = {round(place * (len(rows) - 1) / max(1, count - 1)) for place in range(count)} if count > 1 else {-1}
        some = [rows[place] for place in sorted(places)]
        shown = {(number, step) for row in some for number, step in enumerate(row) if step is not None}
        if sum(samples[number][step].size for number, step in shown) <= size:
            return some
    return []
