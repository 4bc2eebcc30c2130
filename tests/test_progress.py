"""The line says how far the work has come; on a terminal it moves, in a log it is repeated."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganpipe import progress as module
from ganpipe.progress import Pace, Progress

FORM = re.compile(
    r"work: (?P<done>[\d,]+)/(?P<total>[\d,]+) files \((?P<share>\d+) %\), (?P<rate>[\d,]+)/s"
    r"( in (?P<spent>[\d:]+))?(, (?P<left>[\d:]+) left)?(; (?P<note>.*))?"
)


class Clock:
    """Stands in for the module `time`, so that no test waits or depends on the machine's speed."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def seconds(text: str) -> int:
    total = 0
    for part in text.split(":"):
        total = 60 * total + int(part)
    return total


@given(total=st.integers(0, 10**7), data=st.data(), passed=st.floats(0, 10**6), note=st.sampled_from(["", "loss 0.5"]))
def test_line_tells_share_rate_and_time(total: int, data: st.DataObject, passed: float, note: str) -> None:
    before = data.draw(st.integers(0, total), "done before")
    units = data.draw(st.integers(0, total - before), "done now")
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(module, "time", clock)
        work = Progress("work", total, "files", before)
        clock.now += passed
        work.done, work.note = before + units, note
        found = FORM.fullmatch(work.line())
        spent = clock.now - 1000.0  # `passed`, as far as the clock can tell
    assert found, work.line()
    done = before + units
    assert (found["done"], found["total"]) == (f"{done:,}", f"{total:,}")
    assert abs(int(found["share"]) - (100 * done / total if total else 100)) <= 0.5
    rate = units / spent if spent else 0.0  # of this run, not of the one it continues
    assert abs(int(found["rate"].replace(",", "")) - rate) <= 0.5 + 1e-9 * rate
    assert (found["spent"] is not None) == (done == total)
    assert (found["left"] is not None) == (done < total and units > 0 and spent > 0)
    if found["spent"]:
        assert abs(seconds(found["spent"]) - spent) <= 0.5
    if found["left"]:
        left = (total - done) / rate
        assert abs(seconds(found["left"]) - left) <= 0.5 + 1e-9 * left
    assert (found["note"] or "") == note


@pytest.mark.parametrize(
    ("passed", "shown"), [(0.4, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599.6, "1:00:00"), (7265.0, "2:01:05")]
)
def test_times_read_like_a_clock(passed: float, shown: str, clock: Clock) -> None:
    work = Progress("work", 1, "files", 1)
    clock.now += passed
    assert f" in {shown}" in work.line()


def test_a_log_gets_a_line_now_and_then_and_the_last(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("work", 100, "files") as work:
        for _ in range(100):
            clock.now += 0.5
            work.advance()
    shown = [FORM.fullmatch(line) for line in capsys.readouterr().err.splitlines()]
    assert [match["done"] for match in shown if match] == ["30", "60", "90", "100"]
    assert len(shown) == 4


def test_the_last_line_comes_after_a_failure_too(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), Progress("work", 100, "files") as work:
        work.advance(7)
        raise ValueError("broken")
    assert capsys.readouterr().err == "work: 7/100 files (7 %), 0/s\n"


def test_on_a_terminal_the_line_is_overwritten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    primary, secondary = os.openpty()
    with open(primary, "rb", buffering=0) as screen, open(secondary, "w") as terminal:  # noqa: PTH123 (no path)
        monkeypatch.setattr("sys.stderr", terminal)
        with Progress("work", 3, "files") as work:
            for _ in range(3):
                clock.now += 0.3
                work.advance()
        seen = ""
        while not seen.endswith("\n"):
            seen += screen.read(4096).decode()
    assert seen.count("\r\x1b[K") == 4
    assert seen.count("\n") == 1
    assert seen.endswith("work: 3/3 files (100 %), 3/s in 0:01\r\n")


@given(costs=st.lists(st.floats(0.01, 100), min_size=2, max_size=30), share=st.sampled_from([0.005, 0.01, 0.5, 1]))
def test_what_may_wait_stays_under_its_share_of_the_time(costs: list[float], share: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(module, "time", clock)
        pace, spent = Pace(share), 0.0
        begun = clock.now
        for cost in costs:
            looks = cost / share / 20  # how often someone asks
            while not pace.due():
                clock.now += looks
            assert spent <= share * (clock.now - begun) * (1 + 1e-9)
            assert clock.now - begun <= (spent + sum(costs) / 20) / share
            with pace:
                clock.now += cost
            spent += cost


def test_what_has_never_been_done_is_due_and_a_failure_costs_too(clock: Clock) -> None:
    pace = Pace(0.01)
    assert pace.due()
    with pytest.raises(OSError, match="no"), pace:
        clock.now += 1
        raise OSError("no")
    clock.now += 98
    assert not pace.due()
    clock.now += 2
    assert pace.due()


def test_nothing_waits_longer_than_it_may(clock: Clock) -> None:
    pace = Pace(0.01, longest=60)
    with pace:
        clock.now += 10
    clock.now += 59
    assert not pace.due()
    clock.now += 2
    assert pace.due()
