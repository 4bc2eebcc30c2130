"""How far long work has come: a moving line on a terminal, a plain line now and then in a log. And what may wait."""

import math
import sys
import time
from types import TracebackType

LOG_SECONDS, TERMINAL_SECONDS = 15.0, 0.2


class Progress:
    """Counts `total` units of work under `label`, with rate and time left; use as a context manager.

    `silent` where another process of the same work speaks.
    """

    def __init__(self, label: str, total: int, unit: str, done: int = 0, silent: bool = False) -> None:
        self.label, self.total, self.unit, self.done, self.silent = label, total, unit, done, silent
        self.note = ""  # shown at the end of the line: the latest loss, say
        self._terminal = sys.stderr.isatty()
        self._start, self._first = time.monotonic(), done
        self._shown = self._start

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._show(last=True)

    def advance(self, units: int = 1) -> None:
        """`units` more are done."""
        self.done += units
        if time.monotonic() - self._shown >= (TERMINAL_SECONDS if self._terminal else LOG_SECONDS):
            self._show()

    def line(self) -> str:
        """The line as it stands."""
        seconds = time.monotonic() - self._start
        rate = (self.done - self._first) / seconds if seconds > 0 else 0.0
        left = f", {_clock((self.total - self.done) / rate)} left" if rate > 0 and self.done < self.total else ""
        spent = f" in {_clock(seconds)}" if self.done >= self.total else ""
        share = 100 * self.done / self.total if self.total else 100.0
        text = f"{self.label}: {self.done:,}/{self.total:,} {self.unit} ({share:.0f} %), {rate:,.0f}/s{spent}{left}"
        return text + (f"; {self.note}" if self.note else "")

    def _show(self, last: bool = False) -> None:
        self._shown = time.monotonic()
        if self.silent:
            return
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{self.line()}" + ("\n" if last else ""))
        else:
            sys.stderr.write(self.line() + "\n")
        sys.stderr.flush()


class Pace:
    """Keeps something that may wait, such as a checkpoint, under a share of the time, whatever it costs here.

    if pace.due():
        with pace:
            save()

    It never waits longer than `longest` seconds.
    """

    def __init__(self, share: float, longest: float = math.inf) -> None:
        self.share, self.longest = share, longest
        self._next = self._began = -math.inf

    def due(self) -> bool:
        """Whether the time since the last one has paid for it."""
        return time.monotonic() >= self._next

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        now = time.monotonic()
        self._next = now + min((now - self._began) * (1 / self.share - 1), self.longest)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
