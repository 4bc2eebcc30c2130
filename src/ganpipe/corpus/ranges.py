"""A large file over several connections, each fetching a range of it at a time; a ledger says which are there."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import httpx

from ganpipe.corpus.http import PLAIN, TIMEOUT, FetchError, PassingError, body, check, persistently
from ganpipe.progress import Progress

SEGMENT = 16 << 20  # bytes of a range
CONNECTIONS = 4


class Ledger:
    """Which segments of a file at `part` are there: a line each in a file beside it, written after the bytes."""

    def __init__(self, part: Path, size: int) -> None:
        self.part, self.size = part, size
        self.path = _ledger(part)
        self._lock = threading.Lock()

    @property
    def missing(self) -> list[int]:
        """The segments that are not there."""
        return sorted(set(range(-(-self.size // SEGMENT))) - self._done())

    def note(self, number: int) -> None:
        """That segment is there."""
        with self._lock, self.path.open("ab") as file:
            file.write(b"%d\n" % number)

    def span(self, number: int) -> tuple[int, int]:
        """Its first byte, and the one after its last."""
        return number * SEGMENT, min(self.size, (number + 1) * SEGMENT)

    def keep_beginning(self) -> None:
        """Only what lies before the first gap, as a download without ranges leaves it."""
        if self.path.exists():
            os.truncate(self.part, self.span(self.missing[0])[0] if self.missing else self.size)
            self.path.unlink()

    def _done(self) -> set[int]:
        if not self.part.exists():
            return set()
        if not self.path.exists():  # what a download without ranges left
            return set(range(self.part.stat().st_size // SEGMENT))
        lines = self.path.read_bytes().split(b"\n")[:-1]  # the last one may be half written
        return {int(line) for line in lines if line.isdigit()}


def forget(part: Path) -> None:
    """Nothing of that file is there."""
    part.unlink(missing_ok=True)
    _ledger(part).unlink(missing_ok=True)


def _ledger(part: Path) -> Path:
    return part.with_name(part.name + ".ledger")


def fetch(url: str, part: Path, size: int) -> bool:
    """Bring the file at `part` to `size` bytes; False where the server gives no ranges, and nothing is done.

    Each range is asked for again after a passing failure. Raises FetchError, PassingError, httpx.HTTPError; what has
    arrived stays.
    """
    ledger = Ledger(part, size)
    missing = ledger.missing
    if not missing:
        return True
    begun = size - sum(stop - start for start, stop in map(ledger.span, missing))
    limits = httpx.Limits(max_connections=CONNECTIONS)
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True, limits=limits, headers=PLAIN) as client:
        etag = persistently(_probe, client, url, size)
        if etag is None:
            return False
        if not ledger.path.exists():
            begun_at = part.stat().st_size // SEGMENT if part.exists() else 0
            ledger.path.write_bytes(b"".join(b"%d\n" % number for number in range(begun_at)))
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o644)
        stopped = threading.Event()
        try:
            with Progress(part.stem, size, "bytes", begun) as progress, ThreadPoolExecutor(CONNECTIONS) as pool:

                def segment(number: int) -> int:
                    try:
                        return persistently(_write, client, url, etag, descriptor, ledger, number, stopped)
                    except BaseException:
                        stopped.set()  # the others need not go on
                        raise

                for done in as_completed(pool.submit(segment, number) for number in missing):
                    progress.advance(done.result())
        finally:
            os.close(descriptor)
    return True


def _probe(client: httpx.Client, url: str, size: int) -> str | None:
    """What tells this version of the file from others, or nothing known; None where the server gives no ranges."""
    with client.stream("GET", url, headers={"Range": "bytes=0-0"}) as response:
        if response.status_code == 200:
            return None
        check(response)
        return _version(response, size)


def _version(response: httpx.Response, size: int) -> str:
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status_code != 206 or total not in (str(size), "*"):
        raise FetchError(f"its file has {total or 'an unknown number of'} bytes, where {size:,} are published")
    etag: str = response.headers.get("ETag", "")
    return "" if etag.startswith("W/") else etag


def _write(
    client: httpx.Client,
    url: str,
    etag: str,
    descriptor: int,
    ledger: Ledger,
    number: int,
    stopped: threading.Event,
) -> int:
    """Fetch one segment to its place: its bytes."""
    if stopped.is_set():
        return 0
    start, stop = ledger.span(number)
    place = start
    headers = {"Range": f"bytes={start}-{stop - 1}", **({"If-Range": etag} if etag else {})}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == 200:
            raise FetchError("the file changed while it was fetched")
        check(response)
        if _version(response, ledger.size) != etag:
            raise FetchError("the file changed while it was fetched")
        for chunk in body(response):
            if stopped.is_set():
                return 0
            if place + len(chunk) > stop:
                raise FetchError(f"sent more than the bytes {start:,} to {stop:,} that it was asked for")
            os.pwrite(descriptor, chunk, place)
            place += len(chunk)
    if place < stop:
        raise PassingError(f"stopped after {place:,} of {ledger.size:,} bytes")
    ledger.note(number)
    return stop - start
