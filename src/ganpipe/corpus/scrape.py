"""Fetch images from a list of addresses, politely, and so that a kill at any moment loses and repeats nothing."""

import asyncio
import heapq
import ipaddress
import random
import socket
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from ganpipe.corpus import lists
from ganpipe.corpus.http import PASSING, asked_for
from ganpipe.corpus.ledger import OK, Ledger
from ganpipe.corpus.lists import Listed, Wanted
from ganpipe.corpus.manners import ROBOTS_BYTES, Manners, Refused, Robots, refuses_ai
from ganpipe.corpus.sources import Entry, Part, Source
from ganpipe.progress import Progress

ATTEMPTS, WAIT_SECONDS, LONGEST_WAIT = 3, 1.0, 60.0  # of one address in a run; the wait doubles, with jitter
REDIRECTS = 5
CHUNK = 1 << 16


class Settings(NamedTuple):
    """How it is done."""

    contact: str  # an address of the person whose scrape this is, which every host is told
    per_second: float = 1.0  # requests of one host
    connections: int = 64  # at a time, one a host
    deadline: float = 30.0  # seconds for one image, all redirects included
    most_bytes: int = 32 << 20  # of one image
    private: bool = False  # whether private addresses may be asked: in tests only


class Passing(Exception):
    """Why an address gives no image now; `after` so many seconds it may, if the host says so."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


def scrape(listed: Listed, settings: Settings, folder: Path) -> Counter[str]:
    """Fetch what is not in the ledger in `folder` yet, and what failed but may not again; the counts by outcome."""
    with Ledger(folder) as ledger:
        before = ledger.outcomes()
        waiting = [each for each in listed.wanted if each.url not in before or not before[each.url].final]
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
            part = Part(ledger.bodies.absolute(), held.offset, held.length)
            yield Entry(each.url, part, facts={**each.facts, **held.facts, "url": each.url})

    return Source(title, len(fetched), entries, [])


class _Scrape:
    """One run."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self.settings, self.ledger = settings, ledger
        self.agent = f"ganpipe/0.1 (+{settings.contact})"
        self.manners = Manners(settings.per_second, self._ask_robots)
        self._random = random.Random()  # noqa: S311 (jitter)

    async def run(self, waiting: list[Wanted], total: int) -> None:
        """Fetch them, one at a time of each host, as many hosts at a time as there may be connections."""
        hosts: dict[str, deque[Wanted]] = {}
        for each in waiting:
            hosts.setdefault(urlsplit(each.url).netloc, deque()).append(each)
        ready = [(0.0, name) for name in hosts]  # by when the host may next be asked
        heapq.heapify(ready)
        connector = aiohttp.TCPConnector(
            limit=self.settings.connections, resolver=_Resolver(self.settings.private), ttl_dns_cache=300
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
            with Progress("scraping", total, "addresses", total - len(waiting)) as progress:
                workers = [
                    asyncio.create_task(self._work(hosts, ready, progress))
                    for _ in range(min(self.settings.connections, len(hosts)))
                ]
                try:
                    await asyncio.gather(*workers)
                finally:
                    for worker in workers:
                        worker.cancel()
                    await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, hosts: dict[str, deque[Wanted]], ready: list[tuple[float, str]], progress: Progress) -> None:
        """Take a host that may be asked, fetch its next image, and give it back, until there is none."""
        while ready:
            _, name = heapq.heappop(ready)
            wanted = hosts[name].popleft()
            outcome = await self._outcome(wanted.url)
            self.ledger.note(wanted.url, outcome[0], outcome[1], outcome[2], **outcome[3])
            progress.advance()
            if hosts[name]:
                heapq.heappush(ready, (self.manners.host(wanted.url).next, name))

    async def _outcome(self, url: str) -> tuple[str, bool, bytes, dict[str, Any]]:
        """What becomes of an address, after a few attempts."""
        reason = ""
        for attempt in range(ATTEMPTS):
            try:
                async with asyncio.timeout(self.settings.deadline):
                    body, facts = await self._image(url)
                return OK, True, body, facts
            except Refused as refused:
                return str(refused), True, b"", {}
            except Passing as passing:
                reason, after = str(passing), passing.after
            except TimeoutError:
                reason, after = "timed out", None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                reason, after = _named(error), None
            if attempt + 1 < ATTEMPTS:
                wait = WAIT_SECONDS * 2**attempt * self._random.uniform(0.5, 1.5) if after is None else after
                if wait > LONGEST_WAIT:
                    self.manners.later(url, wait)
                    break
                await asyncio.sleep(wait)
        return reason, False, b"", {}

    async def _image(self, url: str) -> tuple[bytes, dict[str, Any]]:
        """The bytes that an address, or the one that it redirects to, answers with; and what its host says of them."""
        hops: list[str] = []
        while True:
            self._refuse(url)
            allowed = await self.manners.allowed(url)
            if allowed is None:
                raise Passing("its robots.txt cannot be had")
            if not allowed:
                raise Refused("robots.txt")
            await self.manners.turn(url)
            async with self.session.get(url, allow_redirects=False) as response:
                if response.status in (301, 302, 303, 307, 308):
                    if len(hops) >= REDIRECTS:
                        raise Refused("too many redirects")
                    following = lists.plain(urljoin(url, response.headers.get("Location", "")))
                    if following is None or following in (url, *hops):
                        raise Refused("redirected to nowhere")
                    hops.append(url)
                    url = following
                    continue
                return await self._body(response), {
                    **({"redirected": url} if hops else {}),
                    **({"last_modified": changed} if (changed := response.headers.get("Last-Modified")) else {}),
                }

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """The image. What forbids it is looked at before a byte of it is read."""
        if response.status in PASSING:
            raise Passing(f"answered {response.status}", asked_for(response.headers.get("Retry-After", "")))
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
        async for chunk in response.content.iter_chunked(CHUNK):
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
                async with self.session.get(url, allow_redirects=False) as response:
                    if response.status in (301, 302, 303, 307, 308):
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


def _public(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return address.is_global and not address.is_multicast and (mapped is None or mapped.is_global)


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
