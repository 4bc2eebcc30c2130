"""Public APIs, asked as their documentation asks: one request at a time, seldom, and saying who it is.

They invite programs by that documentation, so robots.txt, which speaks to crawlers of pages (that of Commons shuts /w/,
where its API is), is not asked for here; it is for every image. No redirect is followed.
"""

import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import httpx

from ganpipe.corpus.http import (
    LONGEST_WAIT,
    PASSING,
    TIMEOUT,
    FetchError,
    PassingError,
    asked_for,
    check,
    persistently,
)
from ganpipe.corpus.manners import user_agent
from ganpipe.errors import UserError

T = TypeVar("T")
Parameters = dict[str, str | int]
Read = Callable[[dict[str, Any], httpx.Response], T]  # of the object that was answered; may raise as `http.check` does

# Seconds between two requests. Openverse allows 20 a minute (and 200 a day) of those who have no key; the others ask
# for one request at a time.
SECONDS = {"Openverse": 3.0, "Wikimedia Commons": 1.0, "DBpedia": 1.0}
MOST_BYTES, DEADLINE = 16 << 20, 120.0  # of one answer, in seconds


class Asker:
    """Asks one thing at a time, as seldom as is due; use as a context manager."""

    def __init__(self, contact: str) -> None:
        headers = {
            "User-Agent": user_agent(contact),
            "Accept": "application/json, application/sparql-results+json",
            "Accept-Encoding": "gzip",
        }
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT)
        self._next: dict[str, float] = {}

    def __enter__(self) -> "Asker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._client.close()

    def ask(self, api: str, url: str, parameters: Parameters, read: Read[T]) -> T:
        """What `read` makes of the object that the API answers with. UserError where there is none to be had."""
        try:
            return persistently(self._once, api, url, parameters, read)
        except (FetchError, PassingError) as error:
            reason = str(error)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OverflowError) as error:
            reason = f"gave no answer ({type(error).__name__}: {str(error)[:200]})"
        raise UserError(f"{api} {reason}. What was found so far is kept: run again, and the search goes on from there")

    def _once(self, api: str, url: str, parameters: Parameters, read: Read[T]) -> T:
        time.sleep(max(0.0, self._next.get(api, 0.0) - time.monotonic()))
        try:
            with self._client.stream("GET", url, params=parameters) as response:
                after = asked_for(response.headers.get("Retry-After", ""))
                if response.status_code in PASSING and after is not None and after > LONGEST_WAIT:
                    raise FetchError(
                        f"answered {response.status_code} and wants not to be asked for {after / 60:,.0f} minutes"
                    )
                check(response)
                return read(_object(response), response)
        finally:
            self._next[api] = time.monotonic() + SECONDS[api]


def _object(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON."""
    # Other compressions, or several over each other, may make gigabytes of the first bytes.
    if response.headers.get("Content-Encoding", "identity") not in ("identity", "gzip"):
        raise FetchError("answered in a compression that was not asked for")
    body, end = bytearray(), time.monotonic() + DEADLINE
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MOST_BYTES:
            raise FetchError(f"answered with more than {MOST_BYTES >> 20} MiB")
        if time.monotonic() > end:
            raise PassingError(f"took more than {DEADLINE:.0f} s to answer")
    try:
        answer = json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise FetchError("answered with something that is no JSON") from None
    if not isinstance(answer, dict):
        raise FetchError("answered with JSON that is no object")
    return answer
