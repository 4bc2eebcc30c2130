"""Against a real server on this machine: whatever it does to ranges, the right bytes arrive or none are kept."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from corpus.mirror import Answer, Handler, Mirror, running, serve, stall
from hypothesis import given, settings
from hypothesis import strategies as st

from ganpipe.corpus import fetch as fetching
from ganpipe.corpus import http, ranges
from ganpipe.corpus.fetch import fetch
from ganpipe.corpus.http import FetchError
from ganpipe.corpus.ranges import Ledger

SEGMENT = 1 << 16
DATA = hashlib.shake_128(b"published").digest(9 * SEGMENT + 1234)
OTHER = bytes(byte ^ 255 for byte in DATA)
MD5 = hashlib.md5(DATA).hexdigest()
TO = Path("downloads/data.bin")
PART = TO.with_name("data.bin.part")
PROBE = "bytes=0-0"


def span(handler: Handler, size: int) -> tuple[int, int] | None:
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers["Range"] or "")
    return (int(match[1]), min(size, int(match[2] or size) + 1)) if match else None


def ranged(data: bytes, etag: str = '"1"', most: int | None = None, total: int | None = None) -> Answer:
    """As a good server does; of each range at most that many bytes, or with another total."""

    def answer(handler: Handler) -> None:
        wanted = span(handler, len(data))
        asked = handler.headers["If-Range"]
        if wanted is None or asked not in (None, etag):
            handler.give(200, data, ETag=etag)
            return
        start, stop = wanted
        body = data[start:stop]
        handler.give(
            206, body[:most], len(body), ETag=etag, Content_Range=f"bytes {start}-{stop - 1}/{total or len(data)}"
        )

    return answer


def status(code: int, **headers: str) -> Answer:
    return lambda handler: handler.give(code, b"", None, **headers)


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    with running() as server:
        yield server


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "WAIT_SECONDS", 0.001)
    monkeypatch.setattr(ranges, "SEGMENT", SEGMENT)
    monkeypatch.setattr(fetching, "SEVERAL_PAY", SEGMENT)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("GANPIPE_MIRROR", raising=False)
    TO.parent.mkdir()


def get(*urls: str) -> bytes:
    return fetch(urls, TO, len(DATA), MD5).read_bytes()


def asked(mirror: Mirror, path: str = "/a") -> list[int]:
    """The segments that were asked for."""
    return [
        int(each.split("=")[1].split("-")[0]) // SEGMENT for each in mirror.requests[path] if each and each != PROBE
    ]


def test_every_range_is_asked_for_once(mirror: Mirror) -> None:
    assert get(mirror.url("/a", ranged(DATA))) == DATA
    assert sorted(asked(mirror)) == list(range(10))
    assert [path.name for path in TO.parent.iterdir()] == [TO.name]


def test_what_is_there_is_not_asked_for_again(mirror: Mirror) -> None:
    with pytest.raises(FetchError):
        get(mirror.url("/a", *[ranged(DATA)] * 5, status(404)))
    there = set(range(10)) - set(Ledger(PART, len(DATA)).missing)
    assert there
    assert get(mirror.url("/a", ranged(DATA))) == DATA
    assert sorted(asked(mirror)) == sorted(set(range(10)) - there)


def test_a_download_without_ranges_is_gone_on_with(mirror: Mirror) -> None:
    PART.write_bytes(DATA[: 3 * SEGMENT + 99])
    assert get(mirror.url("/a", ranged(DATA))) == DATA
    assert sorted(asked(mirror)) == list(range(3, 10))


def test_and_one_with_ranges_where_there_are_none_any_more(mirror: Mirror) -> None:
    PART.write_bytes(DATA[: 2 * SEGMENT] + bytes(len(DATA) - 2 * SEGMENT))
    Ledger(PART, len(DATA)).path.write_bytes(b"0\n1\n7\n")
    assert get(mirror.url("/a", lambda handler: handler.give(200, DATA))) == DATA
    assert get(mirror.url("/b", serve(DATA))) == DATA
    assert [path.name for path in TO.parent.iterdir()] == [TO.name]


def test_a_half_written_line_of_the_ledger_is_none() -> None:
    PART.write_bytes(DATA)
    Ledger(PART, len(DATA)).path.write_bytes(b"0\n3\nx\n\n5")
    assert Ledger(PART, len(DATA)).missing == [1, 2, 4, 5, 6, 7, 8, 9]


def test_a_range_that_breaks_off_is_asked_for_again(mirror: Mirror) -> None:
    answers = [ranged(DATA), ranged(DATA, most=99), status(503), *[ranged(DATA)] * 30]
    assert get(mirror.url("/a", *answers)) == DATA


def test_a_busy_server_says_when_to_ask_again(mirror: Mirror) -> None:
    began = time.monotonic()
    assert get(mirror.url("/a", ranged(DATA), status(429, Retry_After="1"), ranged(DATA))) == DATA
    assert time.monotonic() - began >= 1


def test_a_file_that_changes_midway_is_never_mixed(mirror: Mirror) -> None:
    changing = mirror.url("/a", *[ranged(DATA)] * 4, ranged(OTHER, '"2"'))
    with pytest.raises(FetchError, match="/a: the file changed while it was fetched"):
        get(changing)
    assert not TO.exists()
    assert get(mirror.url("/a", ranged(DATA, '"3"'))) == DATA


def test_a_mirror_with_a_file_of_another_size_is_named(mirror: Mirror) -> None:
    wrong = mirror.url("/wrong", ranged(DATA + b"!"))
    with pytest.raises(FetchError, match="/wrong: its file has 591,059 bytes|/wrong: its file has 591059 bytes"):
        get(wrong)
    assert get(wrong, mirror.url("/a", ranged(DATA))) == DATA


def test_a_mirror_that_lies_is_named_and_the_next_one_makes_good(mirror: Mirror) -> None:
    lie, good = mirror.url("/lie", ranged(OTHER)), mirror.url("/a", ranged(DATA))
    with pytest.raises(FetchError, match="/lie: the file it gave has the wrong checksum"):
        get(lie)
    assert list(TO.parent.iterdir()) == []
    assert get(lie, good) == DATA


@pytest.mark.parametrize(("silent", "said"), [(True, "timed out"), (False, "sends less than 1,000 bytes a second")])
def test_a_server_that_stalls_or_drips_is_given_up_for_the_next_one(
    silent: bool, said: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "TIMEOUT", httpx.Timeout(0.4))
    monkeypatch.setattr(http, "WINDOW", 0.2)
    slow = mirror.url("/slow", stall(DATA, silent))
    with pytest.raises(FetchError, match=f"/slow: {said}"):
        get(slow)
    assert len(set(asked(mirror, "/slow"))) <= ranges.CONNECTIONS  # no other range is asked for then
    monkeypatch.setattr(ranges, "TIMEOUT", http.TIMEOUT)
    assert get(mirror.url("/a", ranged(DATA))) == DATA


ANSWERS: dict[str, Answer] = {
    "good": ranged(DATA),
    "no ranges": lambda handler: handler.give(200, DATA),
    "half": ranged(DATA, most=SEGMENT // 2),
    "drop": ranged(DATA, most=0),
    "lie": ranged(OTHER),
    "changed": ranged(DATA, '"2"'),
    "other": ranged(OTHER, '"3"'),
    "weak": ranged(DATA, 'W/"1"'),
    "longer": ranged(DATA, total=len(DATA) + 1),
    "busy": status(503),
    "gone": status(404),
    "too much": lambda handler: handler.give(206, DATA, Content_Range=f"bytes 0-9/{len(DATA)}", ETag='"1"'),
    "nonsense": status(206, Content_Range="bytes x-y/z"),
}
scripts = st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=12)


@settings(max_examples=40)
@given(first=scripts, second=scripts, left=st.sets(st.integers(0, 12)), rubbish=st.booleans())
def test_whatever_servers_do_the_file_is_right_or_absent(
    first: list[str], second: list[str], left: set[int], rubbish: bool
) -> None:
    TO.unlink(missing_ok=True)
    PART.write_bytes(OTHER if rubbish else DATA)
    Ledger(PART, len(DATA)).path.write_bytes(b"".join(b"%d\n" % number for number in left))
    with running() as server:
        urls = [server.url(f"/{n}", *(ANSWERS[a] for a in script)) for n, script in enumerate((first, second))]
        try:
            assert get(*urls) == DATA
        except FetchError:
            assert not TO.exists()
            assert not any(set(script) == {"good"} for script in (first, second))
    for path in TO.parent.iterdir():
        path.unlink()


def slowly(seconds: float) -> Callable[[Handler], None]:
    good = ranged(DATA)

    def answer(handler: Handler) -> None:
        if handler.headers["Range"] != PROBE:
            time.sleep(seconds)
        good(handler)

    return answer


CHILD = f"""
import sys
from pathlib import Path
from ganpipe.corpus import fetch, ranges
ranges.SEGMENT = fetch.SEVERAL_PAY = {SEGMENT}
fetch.fetch((sys.argv[1],), Path("{TO}"), {len(DATA)}, "{MD5}")
"""


def test_a_kill_loses_no_more_than_the_ranges_that_were_on_their_way(mirror: Mirror) -> None:
    url = mirror.url("/a", slowly(0.3))
    ledger = Ledger(PART, len(DATA))
    child = subprocess.Popen([sys.executable, "-c", CHILD, url], env={**os.environ, "NO_PROXY": "127.0.0.1"})
    while not (ledger.path.exists() and len(ledger.missing) < 9):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert ledger.missing
    assert get(url) == DATA
    assert len(asked(mirror)) <= 10 + ranges.CONNECTIONS


def test_a_server_that_never_ends_a_range_fills_no_disk(mirror: Mirror) -> None:
    def endless(handler: Handler) -> None:
        wanted = span(handler, len(DATA))
        assert wanted is not None
        handler.give(206, DATA * 3, None, ETag='"1"', Content_Range=f"bytes {wanted[0]}-{wanted[1] - 1}/{len(DATA)}")

    with pytest.raises(FetchError, match="/a: sent more than the bytes"):
        get(mirror.url("/a", ranged(DATA), endless))
    assert PART.stat().st_size <= len(DATA)
