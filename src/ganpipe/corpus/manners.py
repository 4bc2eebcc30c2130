"""What a host allows: its robots.txt, one request at a time, and so many a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from protego import Protego

AGENT = "ganpipe"  # by which robots.txt knows us
ROBOTS_BYTES = 512 << 10  # of a robots.txt that are read (RFC 9309, section 2.5)
LONGEST_DELAY = 60.0  # seconds between two requests that a host may ask for
NO_AI = {"noai", "noimageai", "noindex", "noimageindex", "none"}


class Refused(Exception):
    """Why an address gives no image, and asking again is of no use."""


class Robots(NamedTuple):
    """An answer to the request for a robots.txt."""

    status: int
    text: str


@dataclass
class Host:
    """A scheme, name and port, and when it may next be asked."""

    interval: float  # seconds between two requests
    next: float = 0.0  # on time.monotonic's clock
    robots: "asyncio.Task[Protego | None] | None" = None  # None as a result: not to be asked now


class Manners:
    """Of every host that is asked: `ask` fetches a robots.txt."""

    def __init__(self, per_second: float, ask: Callable[[str], Awaitable[Robots]]) -> None:
        self._interval, self._ask = 1 / per_second, ask
        self._hosts: dict[str, Host] = {}

    def host(self, url: str) -> Host:
        """That of an address."""
        return self._hosts.setdefault(_origin(url), Host(self._interval))

    async def allowed(self, url: str) -> bool | None:
        """Whether its robots.txt allows it; None where that cannot be told now."""
        host = self.host(url)
        if host.robots is None:
            host.robots = asyncio.create_task(self._robots(_origin(url), host))
        rules = await asyncio.shield(host.robots)
        return None if rules is None else bool(rules.can_fetch(url, AGENT))

    async def turn(self, url: str) -> None:
        """Wait until the host may be asked, and count this as a request."""
        host = self.host(url)
        now = time.monotonic()
        wait = max(0.0, host.next - now)
        host.next = max(host.next, now) + host.interval
        if wait:
            await asyncio.sleep(wait)

    def later(self, url: str, seconds: float) -> None:
        """The host asks to be left alone for so long."""
        host = self.host(url)
        host.next = max(host.next, time.monotonic() + seconds)

    async def _robots(self, origin: str, host: Host) -> Protego | None:
        """RFC 9309, section 2.3.1: where there is none, all is allowed; while it cannot be had, nothing."""
        await self.turn(origin)
        try:
            answer = await self._ask(f"{origin}/robots.txt")
        except Refused:
            raise
        except Exception:  # whatever went wrong on the way, the rules are not known
            return None
        if answer.status >= 500 or answer.status == 429:
            return None
        rules = Protego.parse(answer.text if answer.status == 200 else "")
        delay = rules.crawl_delay(AGENT)
        if delay:
            host.interval = max(host.interval, min(float(delay), LONGEST_DELAY))
        return rules


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
