"""What every request has in common: how long it waits, which answers are final, and when to ask again."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
import tenacity

T = TypeVar("T")

ATTEMPTS, WAIT_SECONDS, LONGEST_WAIT = 3, 1.0, 120.0  # of one request; the wait doubles, or is what the server asks for
TIMEOUT = httpx.Timeout(30.0, connect=15.0)
LEAST_RATE, WINDOW = 1000, 60.0  # bytes a second that a body comes at, over so many seconds: a drip ends no timeout
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may differ when asked again
PLAIN = {"Accept-Encoding": "identity"}  # bytes as they are published


class FetchError(Exception):
    """No mirror gave the file; the message says, for each, why."""


class PassingError(Exception):
    """A failure that another attempt may not meet, after so many seconds if the server says so."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


def persistently(work: Callable[..., T], *arguments: Any) -> T:
    """`work`, again after each passing failure, a few times."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((PassingError, httpx.TransportError)),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=_wait,
        reraise=True,
    )
    return retrying(work, *arguments)


def check(response: httpx.Response) -> None:
    """Raise what an answer other than success means."""
    if response.status_code in PASSING:
        raise PassingError(f"answered {response.status_code}", asked_for(response.headers.get("Retry-After", "")))
    if not response.is_success:
        raise FetchError(f"answered {response.status_code}")


def number(header: str) -> int | None:
    """A count of bytes; None where the header holds none, or one that no disk has room for."""
    return int(header) if re.fullmatch(r"[0-9]{1,16}", header) else None


def body(response: httpx.Response) -> Iterator[bytes]:
    """A body's bytes, as they arrive: never unpacked, for some hundred may be gigabytes. PassingError for a drip."""
    since, arrived = time.monotonic(), 0
    for chunk in response.iter_raw():
        arrived += len(chunk)
        passed = time.monotonic() - since
        if passed >= WINDOW:
            if arrived < LEAST_RATE * passed:
                raise PassingError(f"sends less than {LEAST_RATE:,} bytes a second")
            since, arrived = time.monotonic(), 0
        yield chunk


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.after if isinstance(error, PassingError) else None
    return min(asked if asked is not None else WAIT_SECONDS * 2 ** (state.attempt_number - 1), LONGEST_WAIT)


def asked_for(header: str) -> float | None:
    """Retry-After: seconds, or a date."""
    if header.isascii() and header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).astimezone(UTC).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
