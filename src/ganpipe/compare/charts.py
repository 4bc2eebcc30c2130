"""Curves of several runs over one another, as SVG that needs no script; a script shows their values."""

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ganpipe.compare.compared import Curve
from ganpipe.compare.tables import Change

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 380, 10, 184  # of what is plotted
POINTS = 600  # of a curve, at most: more than there are pixels
DECADES = 300  # a range of positive values whose ends are so many times apart is shown by its logarithm
LEAST, MOST = 1e-30, 1e100  # beyond what networks compute in: not drawn by its logarithm, not drawn at all


class Axis(NamedTuple):
    """What part of the numbers is shown, and at which of them a line is drawn."""

    low: float
    high: float
    log: bool
    ticks: list[float]

    def place(self, value: float, start: float, end: float) -> float:
        """Where it lies between `start` and `end`."""
        low, high, at = (math.log10(each) if self.log else each for each in (self.low, self.high, value))
        return start + (end - start) * (at - low) / (high - low)


class Drawn(NamedTuple):
    """A chart, and what a script shows values by."""

    svg: str
    data: dict[str, Any]
    last: list[float | None]  # value of each curve


def draw(curves: Sequence[Curve], label: str) -> Drawn | None:
    """The curves of all runs, those without one empty; None where there is no number at all."""
    kept = [thin(curve) for curve in curves]
    values = [value for curve in kept for _, value in curve if _drawable(value)]
    if not values:
        return None
    steps = [step for curve in kept for step, _ in curve]
    across, up = axis(min(steps), max(steps), whole=True), axis(min(values), max(values))
    parts = [*_frame(across, up)]
    for number, curve in enumerate(kept):
        parts += _line(number, curve, across, up)
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(label)}">{"".join(parts)}'
        f'<line class="cursor" y1="{TOP}" y2="{BOTTOM}" visibility="hidden"/></svg>'
    )
    data = {
        "x": [across.low, across.high],
        "y": [up.low, up.high],
        "log": up.log,
        "steps": [[step for step, _ in curve] for curve in kept],
        "values": [[_rounded(value) for _, value in curve] for curve in kept],
    }
    return Drawn(svg, data, [curve[-1][1] if curve else None for curve in curves])


def thin(curve: Curve) -> Curve:
    """At most `POINTS` of it: of each part the lowest and the highest, so that no peak is lost, and the end."""
    if len(curve) <= POINTS:
        return curve
    parts = (POINTS - 1) // 2
    kept = []
    for part in range(parts):
        some = curve[part * len(curve) // parts : (part + 1) * len(curve) // parts]
        finite = [point for point in some if _drawable(point[1])] or some[:1]
        kept += sorted({min(finite, key=lambda point: point[1]), max(finite, key=lambda point: point[1])})
    return kept if kept[-1] == curve[-1] else [*kept, curve[-1]]


def axis(low: float, high: float, whole: bool = False) -> Axis:
    """One that holds both, with some five round numbers; `whole` ones only."""
    if not whole and low > LEAST and high / low > DECADES:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        every = -(-(last - first) // 6)
        return Axis(10.0**first, 10.0**last, True, [10.0**power for power in range(first, last + 1, every)])
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        around = 1.0 if whole else abs(low) / 2 or 1.0
        low, high = low - around, high + around
    rough = (high - low) / 5 or 1.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(size * unit for size in (1, 2, 2.5, 5, 10) if size * unit >= rough * 0.999)
    step = max(1.0, math.ceil(step)) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [number * step for number in range(first, last + 1)]
    return (
        Axis(low, high, False, [tick for tick in ticks if low <= tick <= high])
        if whole
        else Axis(ticks[0], ticks[-1], False, ticks)
    )


def number(value: float) -> str:
    """As it stands at an axis: 0.25, 4,200, 20k, 1.5M."""
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-3:
        return f"{value:.0e}" if f"{value:.0e}" == f"{value:.1e}".replace(".0e", "e") else f"{value:.1e}"
    if size >= 1e6:
        return f"{value / 1e6:.6g}M"
    return f"{value / 1e3:.6g}k" if size >= 1e4 else f"{value:,.6g}"


def whisker(changed: Change, most: float) -> str:
    """A difference and its interval against zero, drawn from `-most` to `most`."""
    width, middle = 120, 7
    x = {
        end: width / 2 * (1 + max(-1.0, min(1.0, value / most)))
        for end, value in (("low", changed.low), ("at", changed.difference), ("high", changed.high))
        if value is not None
    }
    ends = f'<line x1="{x["low"]:.1f}" x2="{x["high"]:.1f}" y1="{middle}" y2="{middle}"/>' if "low" in x else ""
    zero = f'<line class="zero" x1="{width / 2}" x2="{width / 2}" y1="0" y2="{2 * middle}"/>'
    at = f'<circle cx="{x["at"]:.1f}" cy="{middle}" r="3.5"/>'
    return f'<svg class="whisker" viewBox="-4 0 {width + 8} {2 * middle}" aria-hidden="true">{zero}{ends}{at}</svg>'


def _frame(across: Axis, up: Axis) -> list[str]:
    parts = []
    for tick in up.ticks:
        y = up.place(tick, BOTTOM, TOP)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    for tick in across.ticks:
        x = across.place(tick, LEFT, RIGHT)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{BOTTOM}" y2="{BOTTOM + 4}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{BOTTOM + 17}" text-anchor="middle">{number(tick)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>')
    parts.append(f'<text class="tick" x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">step</text>')
    return parts


def _line(number: int, curve: Curve, across: Axis, up: Axis) -> list[str]:
    """A line, broken where a value is no number; a dot where it is one point long."""
    pieces: list[list[str]] = [[]]
    for step, value in curve:
        if not _drawable(value):
            pieces.append([])
            continue
        x, y = across.place(step, LEFT, RIGHT), up.place(value, BOTTOM, TOP)
        pieces[-1].append(f"{x:.1f} {y:.1f}")
    lines = "".join(f"M{' '.join(piece)}" for piece in pieces if len(piece) > 1)
    dots = [piece[0].split(" ") for piece in pieces if len(piece) == 1]
    return [
        *([f'<path class="run r{number}" d="{lines}"/>'] if lines else []),
        *(f'<circle class="dot r{number}" cx="{x}" cy="{y}" r="3"/>' for x, y in dots),
    ]


def _rounded(value: float) -> float | None:
    """Of six digits; None for what is not drawn."""
    return float(f"{value:.6g}") if _drawable(value) else None


def _drawable(value: float) -> bool:
    return abs(value) <= MOST  # no NaN is
