import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.compare import charts
from ganpipe.compare.charts import Axis, axis, draw, number, thin, whisker
from ganpipe.compare.tables import Change

VALUES = st.floats(-1e12, 1e12) | st.floats(1e-12, 1e12)


@given(VALUES, VALUES)
def test_an_axis_holds_both_ends_between_few_round_numbers(one: float, other: float) -> None:
    low, high = sorted((one, other))
    found = axis(low, high)
    assert found.low < found.high
    assert 2 <= len(found.ticks) <= 9
    assert found.ticks == sorted(set(found.ticks))
    assert found.log == (low > charts.LEAST and high / low > charts.DECADES)
    for value in (low, high):
        assert -1e-6 <= found.place(value, 0, 1) <= 1 + 1e-6


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_steps_are_at_whole_numbers(one: int, other: int) -> None:
    low, high = sorted((one, other))
    found = axis(low, high, whole=True)
    assert all(tick == int(tick) for tick in found.ticks)
    assert found.ticks
    assert found.low < found.high
    assert not found.log


def test_round_numbers() -> None:
    assert axis(0.62, 1.31).ticks == pytest.approx([0.6, 0.8, 1.0, 1.2, 1.4])
    assert axis(0, 4200, whole=True).ticks == [0, 1000, 2000, 3000, 4000]
    assert axis(1.5, 900) == Axis(1.0, 1000.0, True, [1.0, 10.0, 100.0, 1000.0])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.25, "0.25"),
        (0, "0"),
        (4200, "4,200"),
        (20_000, "20k"),
        (1_500_000, "1.5M"),
        (1e-5, "1e-05"),
        (2.5e9, "2.5e+09"),
    ],
)
def test_numbers_at_an_axis_are_short(value: float, shown: str) -> None:
    assert number(value) == shown


@given(st.integers(0, 2**32 - 1), st.integers(charts.POINTS + 1, 5 * charts.POINTS), st.sampled_from([0, 0.1, 0.99]))
def test_a_long_curve_is_thinned_and_keeps_its_peaks_and_its_end(seed: int, length: int, missing: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(length) < missing, np.nan, rng.normal(size=length)).tolist()
    curve = list(enumerate(values))
    kept = thin(curve)
    assert len(kept) <= charts.POINTS
    steps = [step for step, _ in kept]
    assert steps == sorted(set(steps))
    assert set(steps) <= set(range(len(values)))
    assert steps[-1] == len(values) - 1
    finite = [value for value in values if not math.isnan(value)]
    if finite:
        shown = [value for _, value in kept if not math.isnan(value)]
        assert (min(shown), max(shown)) == (min(finite), max(finite))


def test_curves_lie_where_their_values_are() -> None:
    found = draw([[(0, 0.0), (10, 1.0)], [], [(5, 0.5)]], "Loss")
    assert found is not None
    assert 'class="run r0" d="M46.0 184.0 380.0 10.0"' in found.svg
    assert 'class="run r1"' not in found.svg
    assert '<circle class="dot r2" cx="213.0" cy="97.0"' in found.svg
    assert found.data["steps"] == [[0, 10], [], [5]]
    assert found.data["values"] == [[0.0, 1.0], [], [0.5]]
    assert found.last == [1.0, None, 0.5]
    assert re.findall(r">([^<]+)</text>", found.svg) == [
        *("0", "0.2", "0.4", "0.6", "0.8", "1"),
        *("0", "2", "4", "6", "8", "10", "step"),
    ]


def test_a_line_is_broken_where_there_is_no_number() -> None:
    found = draw([[(0, 1.0), (1, 2.0), (2, math.nan), (3, 1.0), (4, 2.0), (5, math.inf)]], "Loss")
    assert found is not None
    assert found.svg.count("M") == 2
    assert "nan" not in found.svg
    assert found.data["values"] == [[1.0, 2.0, None, 1.0, 2.0, None]]
    assert draw([[(0, math.nan)], [], [(0, 1e300)]], "Loss") is None


def test_one_point_or_equal_values_are_drawn() -> None:
    for curve in ([(30, 0.5)], [(10, 0.0), (20, 0.0)], [(0, 1e99), (1, -1e99)], [(0, 5e-324), (1, 1.0)]):
        found = draw([curve], "Loss")
        assert found is not None
        assert not re.search("nan|inf", found.svg)


def test_the_label_is_escaped() -> None:
    found = draw([[(0, 1.0)]], '"><script>')
    assert found is not None
    assert 'aria-label="&quot;&gt;&lt;script&gt;"' in found.svg


def test_a_whisker_is_about_zero() -> None:
    svg = whisker(Change(0.01, 0.0, 0.02, "no", "difference"), 0.02)
    assert '<line x1="60.0" x2="120.0"' in svg
    assert '<circle cx="90.0"' in svg
    assert svg.count("<line") == 2
    assert whisker(Change(0.5, None, None, None, None), 0.02).count("<line") == 1
