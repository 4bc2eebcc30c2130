"""Fetch images from a list of addresses, politely, and so that a kill at any moment loses and repeats nothing."""

import asyncio
import ipaddress
import random
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from ganpipe.corpus import lists
from ganpipe.corpus.http import PASSING, asked_for
from ganpipe.corpus.ledger import OK, Ledger, Outcome
from ganpipe.corpus.lists import Listed
from ganpipe.corpus.manners import ROBOTS_BYTES, Host, Manners, Refused, Robots, Turns, refuses_ai, user_agent
from ganpipe.corpus.pack import BATCH, check
from ganpipe.corpus.sources import Entry, Part, Source
from ganpipe.progress import Progress
from ganpipe.runtime import cores, process_pool

ATTEMPTS, WAIT_SECONDS = 3, 1.0  # of one address in a run; the wait doubles, with jitter
LONGEST_WAIT = 600.0  # that a host may ask for; one that asks for more is left to the next run
REDIRECTS, REDIRECTED = 5, (301, 302, 303, 307, 308)
CHUNK = 1 << 16
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv6 addresses that lead to the IPv4 one in their last 32 bits
COMPATIBLE = ipaddress.ip_network("::/96")  # an older form of the same
LAST_CHECKS = 2.0  # seconds that images are looked at after the last one came: `pack` does the rest
LARGE, LARGE_AT_ONCE = 1 << 20, 16  # bytes of an image, and how many such may be on their way: all are in memory


class Settings(NamedTuple):
    """How it is done."""

    contact: str  # an address of the person whose scrape this is, which every host is told
    per_second: float = 1.0  # requests of one host
    connections: int = 64  # at a time, one a host
    deadline: float = 30.0  # seconds for one image, all redirects included
    most_bytes: int = 32 << 20  # of one image
    private: bool = False  # whether private addresses may be asked: in tests only


class Busy(Exception):
    """The host answers that it gives no image now; `after` so many seconds it may, if it says so."""

    def __init__(self, reason: str, after: float | None) -> None:
        super().__init__(reason)
        self.after = after


class Later(Exception):
    """Why there is no use in asking for an address again in this run."""


@dataclass(slots=True)
class _Errand:
    """An address of the list, on its way to an image."""

    url: str
    at: str  # the same, or where it was redirected to
    left: float  # seconds that its requests may take
    hops: tuple[str, ...] = ()
    attempt: int = 1


class _End(NamedTuple):
    """What becomes of an address."""

    outcome: str
    final: bool
    body: bytes = b""
    facts: dict[str, Any] = {}  # noqa: RUF012 (never changed)


def scrape(listed: Listed, settings: Settings, folder: Path) -> Counter[str]:
    """Fetch what is not in the ledger in `folder` yet, and what failed but may not again; the counts by outcome."""
    with Ledger(folder) as ledger:
        before = ledger.outcomes()
        waiting = [each.url for each in listed.wanted if each.url not in before or not before[each.url].final]
        if waiting:
            asyncio.run(_Scrape(settings, ledger).run(waiting, len(listed.wanted)))
        found = ledger.outcomes()
    counts = Counter(found[each.url].outcome for each in listed.wanted if each.url in found)
    counts.update({"repeated": listed.repeated, "not an address": len(listed.unusable)})
    return +counts


def source(title: str, listed: Listed, folder: Path) -> Source:
    """The images that were fetched, in the list's order, with what it and their hosts said of them."""
    with Ledger(folder) as ledger:
        outcomes = ledger.outcomes()
        fetched = [each for each in listed.wanted if each.url in outcomes and outcomes[each.url].outcome == OK]

    def entries() -> Iterator[Entry]:
        for each in fetched:
            held = outcomes[each.url]
            told = dict(held.facts)
            size, broken = told.pop("size", None), told.pop("broken", None)
            entry = Entry(each.url, None, broken or "", facts={**each.facts, **told, "url": each.url})
            if broken is None:
                part = Part(ledger.bodies.absolute(), held.offset, held.length)
                entry = entry._replace(data=part, size=None if size is None else (size[0], size[1]))
            yield entry

    return Source(title, len(fetched), entries, [])


class _Scrape:
    """One run."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self.settings, self.ledger = settings, ledger
        self.agent = user_agent(settings.contact)
        self.manners = Manners(settings.per_second, self._ask_robots)
        self.turns: Turns[_Errand] = Turns()
        self._failing: set[Host] = set()  # whose last answer was that they are busy
        self._shut: set[Host] = set()  # who are left to the next run
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._unchecked: list[Outcome] = []
        self._checks: list[asyncio.Task[None]] = []
        self._random = random.Random()  # noqa: S311 (jitter)

    async def run(self, waiting: list[str], total: int) -> None:
        """Fetch them, one at a time of each host, as many hosts at a time as there may be connections."""
        for url in waiting:
            self._send(_Errand(url, url, self.settings.deadline))
        connector = aiohttp.TCPConnector(
            limit=self.settings.connections,
            resolver=_Resolver(self.settings.private),
            ttl_dns_cache=300,
            force_close=len({self.manners.host(url) for url in waiting}) > _most_kept(),
        )
        timeout = aiohttp.ClientTimeout(total=None, connect=self.settings.deadline)
        # Nothing is inflated on the way: a few bytes may be gigabytes.
        headers = {"User-Agent": self.agent, "Accept": "image/*,*/*;q=0.1", "Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            headers=headers,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as self.session:
            with (
                process_pool(cores(), patient=True) as self._pool,
                Progress("scraping", total, "addresses", total - len(waiting)) as self.progress,
            ):
                count = min(self.settings.connections, len(waiting))
                workers = [asyncio.create_task(self._work()) for _ in range(count)]
                try:
                    await asyncio.gather(*workers)
                    if self._checks:
                        self._send_to_check()
                        done, _ = await asyncio.wait(self._checks, timeout=LAST_CHECKS)
                        for each in done:
                            each.result()
                finally:
                    for task in (*workers, *self._checks):
                        task.cancel()
                    await asyncio.gather(*workers, *self._checks, return_exceptions=True)

    def _send(self, errand: _Errand, after: float | None = None, first: bool = False) -> None:
        self.turns.put(self.manners.host(errand.at), errand, after, first)

    async def _work(self) -> None:
        """Make one request after another, of whichever host may be asked, until there is nothing left to ask."""
        while (turn := await self.turns.take()) is not None:
            host, errand = turn
            end = await self._end(host, errand)
            if end is not None:
                noted = self.ledger.note(errand.url, end.outcome, end.final, end.body, **end.facts)
                self.progress.advance()
                if end.body:
                    self._unchecked.append(noted)
                if len(self._unchecked) == BATCH:
                    self._send_to_check()
            self.turns.done(host)

    def _send_to_check(self) -> None:
        self._checks.append(asyncio.create_task(self._check(self._unchecked)))
        self._unchecked = []

    async def _check(self, batch: list[Outcome]) -> None:
        """Decode images while others are on their way; `pack` does it with those that nobody has."""
        bodies = self.ledger.bodies.absolute()
        entries = [Entry(each.url, Part(bodies, each.offset, each.length)) for each in batch]
        with suppress(BrokenExecutor):  # an image was too much for it: `pack` says so
            verdicts = await asyncio.get_running_loop().run_in_executor(self._pool, check, entries)
            for each, (facts, reason) in zip(batch, verdicts, strict=True):
                found = {"broken": reason} if facts is None else {"size": [facts["width"], facts["height"]]}
                self.ledger.add(each, **found)

    async def _end(self, host: Host, errand: _Errand) -> _End | None:
        """Make the next request for an address; what becomes of it, or None where that is not known yet."""
        try:
            return await self._further(host, errand)
        except Refused as refused:
            return _End(str(refused), True)
        except Later as later:
            return _End(str(later), False)
        except Busy as busy:
            if busy.after is not None and busy.after > LONGEST_WAIT:
                self._shut.add(host)
                return _End(str(busy), False)
            if busy.after is not None:
                host.rest(busy.after)
            elif errand.attempt == 1:  # an address that fails again tells more of itself than of its host
                host.rest(self._wait(2 if host in self._failing else 1))
                self._failing.add(host)
            return self._again(errand, str(busy), busy.after)
        except TimeoutError:
            return self._again(errand, "timed out")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return self._again(errand, _named(error))

    def _again(self, errand: _Errand, reason: str, wait: float | None = None) -> _End | None:
        if errand.attempt == ATTEMPTS:
            return _End(reason, False)
        after = time.monotonic() + (self._wait(2 ** (errand.attempt - 1)) if wait is None else wait)
        self._send(_Errand(errand.url, errand.url, self.settings.deadline, attempt=errand.attempt + 1), after)
        return None

    def _wait(self, times: int) -> float:
        return WAIT_SECONDS * times * self._random.uniform(0.75, 1.25)

    async def _further(self, host: Host, errand: _Errand) -> _End | None:
        """Ask for its robots.txt, if that is not known, or for what it leads to."""
        if host in self._shut:
            raise Later("its host asked for a longer wait")
        self._refuse(errand.at)
        if not self.manners.knows(errand.at):
            await self.manners.learn(errand.at)
            self._send(errand, first=True)
            return None
        allowed = self.manners.allowed(errand.at)
        if allowed is None:
            raise Later("its robots.txt cannot be had")
        if not allowed:
            raise Refused("robots.txt")
        host.count()
        began = time.monotonic()
        async with asyncio.timeout(errand.left), self.session.get(errand.at, allow_redirects=False) as response:
            if response.status not in PASSING:
                self._failing.discard(host)
            if response.status not in REDIRECTED:
                return _End(OK, True, await self._body(response), _facts(errand, response))
            following = lists.plain(urljoin(errand.at, response.headers.get("Location", "")))
        errand.left -= time.monotonic() - began
        if len(errand.hops) == REDIRECTS:
            raise Refused("too many redirects")
        errand.hops = (*errand.hops, errand.at)
        if following is None or following in errand.hops:
            raise Refused("redirected to nowhere")
        errand.at = following
        self._send(errand, first=True)
        return None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """The image. What forbids it is looked at before a byte of it is read."""
        if response.status in PASSING:
            raise Busy(f"answered {response.status}", asked_for(response.headers.get("Retry-After", "")))
        if response.status != 200:
            raise Refused(f"answered {response.status}")
        if refuses_ai(response.headers.getall("X-Robots-Tag", [])):
            raise Refused("noai")
        if response.content_type.startswith("text/") or response.content_type == "application/json":
            raise Refused("not an image")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused("compressed")
        announced = response.content_length
        if announced is not None and announced > self.settings.most_bytes:
            raise Refused("too large")
        body = bytearray()
        async with AsyncExitStack() as held:
            async for chunk in response.content.iter_chunked(CHUNK):
                if len(body) <= LARGE < len(body) + len(chunk):
                    await held.enter_async_context(self._large)
                body += chunk
                if len(body) > self.settings.most_bytes:
                    raise Refused("too large")
        if not body:
            raise Refused("empty")
        return bytes(body)

    async def _ask_robots(self, url: str) -> Robots:
        """A robots.txt, after up to five redirects (RFC 9309, section 2.3.1.2)."""
        async with asyncio.timeout(self.settings.deadline):
            for _ in range(REDIRECTS + 1):
                self._refuse(url)
                self.manners.host(url).count()
                async with self.session.get(url, allow_redirects=False) as response:
                    if response.status in REDIRECTED:
                        following = lists.plain(urljoin(url, response.headers.get("Location", "")))
                        if following is None:
                            break
                        url = following
                        continue
                    text = bytearray()
                    async for chunk in response.content.iter_chunked(CHUNK):
                        text += chunk[: ROBOTS_BYTES - len(text)]
                        if len(text) >= ROBOTS_BYTES:
                            break
                    return Robots(response.status, text.decode("utf-8", "replace"))
        return Robots(404, "")

    def _refuse(self, url: str) -> None:
        """An address of numbers asks no resolver, and one in odd numbers is a trick."""
        host = urlsplit(url).hostname or ""
        try:
            public = _public(host)
        except ValueError:
            if all(part.isdigit() for part in host.split(".")):
                raise Refused("not an address") from None
            return
        if not public and not self.settings.private:
            raise Refused("private address")


class _Resolver(AbstractResolver):
    """Names to addresses, private ones left out: also of a name that a hostile list or redirect made up."""

    def __init__(self, private: bool) -> None:
        self._private, self._inner = private, ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        usable = [each for each in found if self._private or _public(each["host"])]
        if not usable:
            raise Refused("private address")
        return usable

    async def close(self) -> None:
        await self._inner.close()


def _most_kept() -> int:
    """Hosts to whom connections may stay open between requests: half the files that this process may have open."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else most // 2


def _facts(errand: _Errand, response: aiohttp.ClientResponse) -> dict[str, Any]:
    """What is to be known of an image beside what the list says."""
    redirected = {"redirected": errand.at} if errand.hops else {}
    changed = response.headers.get("Last-Modified")
    return {**redirected, **({"last_modified": changed} if changed else {})}


def _public(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None
        within = address.ipv4_mapped or last
        if address in COMPATIBLE or address.is_site_local or not (within is None or within.is_global):
            return False
        if address.sixtofour is not None:  # deprecated (RFC 7526), and Pythons differ about it
            return False
    return address.is_global and not address.is_multicast


def _named(error: Exception) -> str:
    """A short reason, the same for all hosts, so that it can be counted."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "bad certificate"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "broke off"
    if isinstance(error, aiohttp.ClientConnectionError):
        return "no connection"
    return type(error).__name__
