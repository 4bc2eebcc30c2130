"""What a host allows: its robots.txt, one request at a time, and so many a second."""

import asyncio
import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from protego import Protego

T = TypeVar("T")

AGENT = "ganpipe"  # by which robots.txt knows us
ROBOTS_BYTES = 512 << 10  # of a robots.txt that are read (RFC 9309, section 2.5)
LONGEST_DELAY = 60.0  # seconds between two requests that a host may ask for
NO_AI = {"noai", "noimageai", "noindex", "noimageindex", "none"}


def user_agent(contact: str) -> str:
    """By which hosts know us, and whom they may write to."""
    return f"{AGENT}/0.1 (+{contact})"


class Refused(Exception):
    """Why an address gives no image, and asking again is of no use."""


class Robots(NamedTuple):
    """An answer to the request for a robots.txt."""

    status: int
    text: str


@dataclass(eq=False)
class Host:
    """When a host may next be asked. It goes by its name: all its schemes and ports are one machine's."""

    interval: float  # seconds between two requests
    next: float = 0.0  # on time.monotonic's clock

    def count(self) -> None:
        """A request is made now."""
        self.next = max(self.next, time.monotonic()) + self.interval

    def rest(self, seconds: float) -> None:
        """It is to be left alone for so long."""
        self.next = max(self.next, time.monotonic() + seconds)


class Manners:
    """Of every host that is asked: `ask` fetches a robots.txt."""

    def __init__(self, per_second: float, ask: Callable[[str], Awaitable[Robots]]) -> None:
        self._interval, self._ask = 1 / per_second, ask
        self._hosts: dict[str, Host] = {}
        self._rules: dict[str, Protego | Refused | None] = {}  # of each scheme, name and port, as RFC 9309 has it

    def host(self, url: str) -> Host:
        """That of an address."""
        name = urlsplit(url).hostname or ""
        if name not in self._hosts:
            self._hosts[name] = Host(self._interval)
        return self._hosts[name]

    def knows(self, url: str) -> bool:
        """Whether its robots.txt has been asked for."""
        return _origin(url) in self._rules

    async def learn(self, url: str) -> None:
        """Ask for its robots.txt."""
        self._rules[_origin(url)] = await self._robots(_origin(url), self.host(url))

    def allowed(self, url: str) -> bool | None:
        """Whether its robots.txt, which has been asked for, allows it; None where that cannot be told now."""
        rules = self._rules[_origin(url)]
        if isinstance(rules, Refused):
            raise rules
        return None if rules is None else bool(rules.can_fetch(url, AGENT))

    async def _robots(self, origin: str, host: Host) -> Protego | Refused | None:
        """RFC 9309, section 2.3.1: where there is none, all is allowed; while it cannot be had, nothing."""
        began = time.monotonic()
        try:
            answer = await self._ask(f"{origin}/robots.txt")
        except Refused as refused:
            return refused
        except Exception:  # whatever went wrong on the way, the rules are not known
            return None
        if answer.status >= 500 or answer.status == 429:
            return None
        rules = Protego.parse(answer.text if answer.status == 200 else "")
        delay = rules.crawl_delay(AGENT)
        if delay:
            host.interval = max(host.interval, min(float(delay), LONGEST_DELAY))
            host.next = max(host.next, began + host.interval)  # this request was one, too
        return rules


@dataclass(eq=False)
class _Line(Generic[T]):
    """What is to be asked of one host."""

    host: Host
    new: deque[T] = field(default_factory=deque)
    again: list[tuple[float, int, T]] = field(default_factory=list)  # a heap, by when each may be asked
    asked: bool = False  # at this moment
    entry: tuple[float, int] = (math.inf, 0)  # its place among the lines that wait

    def due(self) -> float:
        """By when something of it may be asked."""
        first = -math.inf if self.new else self.again[0][0] if self.again else math.inf
        return max(self.host.next, first)

    def pop(self) -> T:
        """What is asked again comes before what is new, as soon as it may."""
        if self.again and (not self.new or self.again[0][0] <= time.monotonic()):
            return heapq.heappop(self.again)[2]
        return self.new.popleft()


class Turns(Generic[T]):
    """What is to be asked of many hosts: of each one thing at a time, and not before it may be asked.

    A host that may only be asked later keeps nobody from another.
    """

    def __init__(self) -> None:
        self._lines: dict[Host, _Line[T]] = {}
        self._waiting: list[tuple[float, int, _Line[T]]] = []  # a heap; only a line's latest entry counts
        self._numbers = itertools.count(1)
        self._asked = 0  # hosts, at this moment
        self._changed, self._first = asyncio.Event(), asyncio.Lock()

    def put(self, host: Host, thing: T, after: float | None = None, first: bool = False) -> None:
        """Let it be asked of the host: as the last, or first of all, or again `after` a time."""
        line = self._lines.setdefault(host, _Line(host))
        if after is not None:
            heapq.heappush(line.again, (after, next(self._numbers), thing))
        elif first:
            line.new.appendleft(thing)
        else:
            line.new.append(thing)
        self._enter(line)

    async def take(self) -> tuple[Host, T] | None:
        """The next thing, as soon as it may be asked; None at the end of all. `done` is due when it has been."""
        async with self._first:  # of those who wait
            while self._waiting or self._asked:
                due, number, line = self._waiting[0] if self._waiting else (math.inf, 0, None)
                wait = due - time.monotonic()
                if line is not None and wait <= 0:
                    heapq.heappop(self._waiting)
                    if line.entry != (due, number):
                        continue
                    line.entry = (math.inf, 0)
                    if line.due() <= time.monotonic():
                        line.asked, self._asked = True, self._asked + 1
                        return line.host, line.pop()
                    self._enter(line)  # it is to be left alone for longer than was known
                    continue
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if wait == math.inf else wait):
                        await self._changed.wait()
        return None

    def done(self, host: Host) -> None:
        """The host has answered, or not."""
        line = self._lines[host]
        line.asked, self._asked = False, self._asked - 1
        self._enter(line)
        self._changed.set()

    def _enter(self, line: _Line[T]) -> None:
        due = line.due()
        if not line.asked and due < line.entry[0]:
            line.entry = (due, next(self._numbers))
            heapq.heappush(self._waiting, (*line.entry, line))
            self._changed.set()


def refuses_ai(headers: list[str]) -> bool:
    """Whether an X-Robots-Tag, for all or for us, says that the image is not to be learned from."""
    for header in headers:
        for directive in header.lower().split(","):
            agent, colon, value = directive.partition(":")
            if (value if colon and agent.strip() == AGENT else directive).strip() in NO_AI:
                return True
    return False


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
