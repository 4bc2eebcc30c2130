"""Against a real server on this machine that answers as the three APIs are documented to."""

import gzip
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from corpus import mirror
from corpus.pictures import encode, noise
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ganpipe.corpus import apis, asker, http, lists, people, scrape
from ganpipe.corpus.download import download
from ganpipe.corpus.search import find, is_search
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from support.settings import download_params

TO = Path("found.jsonl")
FACTS = {"url", "title", "creator", "licence", "licence_url", "source", "provider", "width", "height"} | {
    "query",
    "person",
}
Query = dict[str, str]
Answer = Callable[["Handler", Query], None]


class Handler(mirror.Handler):
    server: "Apis"  # type: ignore[assignment]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with self.server.lock:
            self.server.asked.append((parts.path, query))
            self.server.headers.append(dict(self.headers))
            odd = self.server.odd.pop(0) if self.server.odd else None
        time.sleep(self.server.delay)
        if odd:
            odd(self, query)
        elif parts.path == "/openverse/":
            openverse(self, query)
        elif parts.path == "/commons":
            commons(self, query)
        elif parts.path == "/robots.txt":
            self.give(404, b"")
        elif parts.path.startswith("/pictures/"):
            self.give(200, encode(noise(1, 8, 8)[0]), Content_Type="image/png")
        else:
            dbpedia(self, query)

    def answer(self, answer: Any, **headers: str) -> None:
        self.give(200, json.dumps(answer).encode(), None, Content_Type="application/json", **headers)


class Apis(ThreadingHTTPServer):
    """The three of them, with so many images of each query; `odd` answers come first, one a request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, Query]] = []
        self.headers: list[dict[str, str]] = []
        self.odd: list[Answer | None] = []
        self.images: dict[str, int] = {}  # 45 of a query that is not here
        self.names: dict[str, list[str]] = {}  # by day
        self.delay = 0.0  # seconds
        self.lock = threading.Lock()

    def handle_error(self, *_: object) -> None:
        pass

    def pages(self) -> list[str]:
        """What was asked for, as one string each."""
        return [json.dumps(each) for each in self.asked]


def openverse(handler: Handler, query: Query) -> None:
    page, size = int(query["page"]), int(query["page_size"])
    if size > 20 or page * size > 240:
        handler.give(401, b'{"detail": "pagination depth may not exceed 240 for anonymous requests"}')
        return
    count = handler.server.images.get(query["q"], 45)
    results = [openverse_result(n) for n in range((page - 1) * size, min(page * size, count))]
    pages = min(-(-count // size), 20)
    handler.answer({"result_count": count, "page_count": pages, "page_size": size, "page": page, "results": results})


def openverse_result(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"uuid-{number}",
        "title": f"Rose {number}",
        "url": f"https://live.example.org/{number}.jpg",
        "creator": "A. Person",
        "license": "by-sa",
        "license_version": "2.0",
        "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
        "foreign_landing_url": f"https://www.example.org/photos/{number}",
        "provider": "flickr",
        "source": "flickr",
        "filetype": None,
        "width": 1024,
        "height": 768,
        **changes,
    }


def commons(handler: Handler, query: Query) -> None:
    limit, start = int(query["gsrlimit"]), int(query.get("gsroffset", "0"))
    words = query["gsrsearch"].removeprefix("filetype:bitmap ")
    count = handler.server.images.get(words, 45)
    pages = [commons_page(words, n) for n in range(start, min(start + limit, count))]
    answer: dict[str, Any] = {"query": {"pages": sorted(pages, key=lambda page: page["pageid"])}} if pages else {}
    if start + limit < count:
        answer["continue"] = {"gsroffset": start + limit, "continue": "gsroffset||"}
    handler.answer({"batchcomplete": True, **answer})


def commons_page(words: str, number: int, **changes: Any) -> dict[str, Any]:
    name = f"{re.sub(r'[^a-zA-Z]', '_', words)}_{number}.jpg"
    info = {
        "url": f"https://upload.example.org/{name}",
        "descriptionurl": f"https://commons.example.org/wiki/File:{name}",
        "mime": "image/jpeg",
        "size": 12345,
        "width": 640,
        "height": 480,
        "extmetadata": {
            "Artist": {"value": '<a href="//x.org">Ann &amp; <b>Bob</b></a>', "source": "commons-desc-page"},
            "LicenseShortName": {"value": "CC BY-SA 4.0"},
            "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
        },
        **changes,
    }
    return {"pageid": 1000 - number, "ns": 6, "title": f"File:{name}", "index": number + 1, "imageinfo": [info]}


def dbpedia(handler: Handler, query: Query) -> None:
    found = re.search(r'\?born >= "([-0-9]+)".*LIMIT (\d+) OFFSET (\d+)', query["query"], re.DOTALL)
    assert found
    day, limit, offset = found[1], int(found[2]), int(found[3])
    names = handler.server.names.get(day, [])[offset : offset + limit]
    person = {"type": "uri", "value": "http://dbpedia.org/resource/X"}
    rows = [{"person": person, "name": {"type": "literal", "xml:lang": "en", "value": name}} for name in names]
    handler.answer({"head": {"vars": ["person", "name"]}, "results": {"distinct": False, "bindings": rows}})


def give(status: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda handler, _: handler.give(status, body, None, **headers)


def answer(value: Any, **headers: str) -> Answer:
    return lambda handler, _: handler.answer(value, **headers)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Apis]:
    days = people.days
    monkeypatch.setattr(people, "days", lambda *those: days(*those)[:4])
    with mirror.serving(Apis()) as server:
        point(monkeypatch.setattr, server.server_port)
        yield server


def point(set_attribute: Callable[[object, str, Any], None], port: int) -> None:
    """Have the APIs' addresses lead there, and nothing wait."""
    set_attribute(apis, "OPENVERSE", f"http://127.0.0.1:{port}/openverse/")
    set_attribute(apis, "COMMONS", f"http://127.0.0.1:{port}/commons")
    set_attribute(apis, "DBPEDIA", f"http://127.0.0.1:{port}/dbpedia")
    set_attribute(asker, "SECONDS", dict.fromkeys(asker.SECONDS, 0.0))
    set_attribute(http, "WAIT_SECONDS", 0.01)


def search(text: str, most: int = 1000, each: int = 5, to: Path = TO) -> list[dict[str, Any]]:
    found = lists.read(find(text, most, each, "me@example.org", to))
    assert not found.repeated
    assert not found.unusable
    assert not list(to.parent.glob("*.part"))
    return [{"url": each.url, **each.facts} for each in found.wanted]


def born(server: Apis, names: dict[int, list[str]], since: int = 1990) -> None:
    """People by the place of their day in the order in which days are asked for."""
    order = people.days(since, people.grown_up(date.today()))
    server.names = {order[place].isoformat(): those for place, those in names.items()}


def test_openverse_is_asked_page_by_page_to_the_end(server: Apis) -> None:
    found = search("openverse: wild roses ")
    assert [each["title"] for each in found] == [f"Rose {number}" for number in range(45)]
    assert found[7] == {
        "url": "https://live.example.org/7.jpg",
        "title": "Rose 7",
        "creator": "A. Person",
        "licence": "by-sa 2.0",
        "licence_url": "https://creativecommons.org/licenses/by-sa/2.0/",
        "source": "https://www.example.org/photos/7",
        "provider": "flickr",
        "width": 1024,
        "height": 768,
        "query": "wild roses",
    }
    wanted = [{"q": "wild roses", "page": str(page), "page_size": "20"} for page in (1, 2, 3)]
    assert server.asked == [("/openverse/", query) for query in wanted]


def test_openverse_is_asked_for_licences_and_for_no_more_than_it_gives(server: Apis) -> None:
    server.images["a & b=c"] = 1000
    assert len(search("openverse/cc0+BY:a & b=c")) == 240
    assert [query["license"] for _, query in server.asked] == ["cc0,by"] * 12
    assert {query["q"] for _, query in server.asked} == {"a & b=c"}


def test_commons_is_asked_page_by_page_in_its_order(server: Apis) -> None:
    server.images["roses"] = 120
    found = search("commons:roses")
    assert [each["title"] for each in found] == [f"roses_{number}.jpg" for number in range(120)]
    assert found[0] == {
        "url": "https://upload.example.org/roses_0.jpg",
        "title": "roses_0.jpg",
        "creator": "Ann & Bob",
        "licence": "CC BY-SA 4.0",
        "licence_url": "https://creativecommons.org/licenses/by-sa/4.0",
        "source": "https://commons.example.org/wiki/File:roses_0.jpg",
        "provider": "wikimedia",
        "width": 640,
        "height": 480,
        "query": "roses",
    }
    assert [query.get("gsroffset") for _, query in server.asked] == [None, "50", "100"]
    assert all(query["gsrnamespace"] == "6" and query["maxlag"] == "5" for _, query in server.asked)


def test_commons_is_not_asked_beyond_what_it_gives(server: Apis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apis, "COMMONS_OFFSET", 100)
    server.images["roses"] = 10_000
    assert len(search("commons:roses")) == 100


def test_a_search_stops_at_most_images(server: Apis) -> None:
    assert len(search("commons:roses", most=30)) == 30
    assert len(search("openverse:roses", most=40, to=Path("o.jsonl"))) == 40
    assert len(server.asked) == 3
    born(server, {0: ["Ann Bee", "Cid Dee"]})
    assert len(search("people:1990", most=7, each=5, to=Path("p.jsonl"))) == 7


def test_a_whole_list_is_given_without_asking(server: Apis) -> None:
    search("commons:roses")
    asked, before = len(server.asked), TO.read_bytes()
    Path("found.jsonl.part").write_text("what a kill left between renaming and removing")
    search("commons:roses")
    assert (len(server.asked), TO.read_bytes()) == (asked, before)


def test_images_that_come_twice_or_are_of_no_use_are_left_out(server: Apis) -> None:
    results = [
        openverse_result(1),
        openverse_result(2, url="https://live.example.org/1.jpg#again"),
        openverse_result(3, url="ftp://live.example.org/3.jpg"),
        openverse_result(4, url="javascript:alert(1)"),
        openverse_result(5, url=None),
        openverse_result(6, filetype="svg"),
        openverse_result(7, url="https://me:secret@example.org/7.jpg"),
        openverse_result(8, url="https://example.org/\x00\ud800.jpg"),
        "no object",
        openverse_result(9, title=5, creator=["x"], license=None, width="9", height=-1, license_url="file:///x"),
        openverse_result(10, title="x" * 10_000, creator=" a\n\u0000\u202eb\ud800 "),
    ]
    server.odd = [answer({"results": results, "page_count": 1})]
    first, ninth, tenth = search("openverse:roses")
    assert first["title"] == "Rose 1"
    assert set(ninth) == {"url", "source", "provider", "query"}
    assert (len(tenth["title"]), tenth["creator"]) == (apis.LONGEST_TEXT, "a b")
    pages = [
        commons_page("x", 1, mime="image/svg+xml"),
        commons_page("x", 2, mime="video/webm"),
        {**commons_page("x", 3), "imageinfo": None},
        commons_page("x", 4, mime="image/png", extmetadata=[]),
    ]
    server.odd = [answer({"query": {"pages": pages}})]
    assert [each["title"] for each in search("commons:x", to=Path("c.jsonl"))] == ["x_4.jpg"]


def test_people_are_looked_for_by_name(server: Apis) -> None:
    hostile = 'Eve "Ev\\" -insource:/x/ * ~ (hacker)'
    born(server, {0: ["Ann Bee", "Bob Cee (actor)", "Ann Bee (born 1991)"], 3: ["Bob Cee", hostile, "(x)", "?" * 9]})
    server.images = {'"Ann Bee"': 30, '"Bob Cee"': 2}
    found = search("people:1990", most=100, each=7)
    assert [each["person"] for each in found[:12]] == ["Ann Bee"] * 7 + ["Bob Cee"] * 2 + [
        'Eve "Ev\\" -insource:/x/ * ~'
    ] * 3
    assert "query" not in found[0]
    words = [query["gsrsearch"] for path, query in server.asked if path == "/commons"]
    assert words == [f'filetype:bitmap "{name}"' for name in ("Ann Bee", "Bob Cee", "Eve Ev -insource:/x/")]
    assert all(query["gsrlimit"] == "7" for path, query in server.asked if path == "/commons")


def test_a_persons_images_come_from_several_pages_where_so_many_are_wanted(server: Apis) -> None:
    born(server, {0: ["Ann Bee", "Cid Dee"]})
    server.images['"Ann Bee"'] = 200
    found = search("people:1990", most=130, each=120)
    assert [each["person"] for each in found] == ["Ann Bee"] * 120 + ["Cid Dee"] * 10


def test_names_of_one_day_are_asked_for_page_by_page(server: Apis) -> None:
    born(server, {0: [f"Person {letter}{digit}" for letter in "abcdefghijkl" for digit in "rstuvwxyzö"]})
    names = [each["person"] for each in search("people:1990", most=119, each=1)]
    assert len(set(names)) == 119
    offsets = [query["query"].split()[-1] for path, query in server.asked if path == "/dbpedia"]
    assert offsets == ["0", "100"]


def test_the_order_of_days_is_shuffled_and_always_the_same() -> None:
    order = people.days(1999, date(2000, 12, 31))
    assert len(order) == len(set(order)) == 365 + 366
    assert order[:3] == [date(1999, 8, 26), date(1999, 2, 21), date(1999, 10, 1)]
    more = people.days(1999, date(2001, 1, 1))
    assert [day for day in more if day.year < 2001] == order


def test_the_sparql_is_well_formed(server: Apis) -> None:
    born(server, {0: ["Ann Bee"]})
    search("people:1990", most=1)
    (query,) = (query for path, query in server.asked if path == "/dbpedia")
    text = query["query"]
    assert query["format"] == "application/sparql-results+json"
    prefixes = set(re.findall(r"^PREFIX (\w+): <http://[^>]+>$", text, re.MULTILINE))
    assert set(re.findall(r"\b(\w+):[a-zA-Z]", re.sub(r"<[^>]*>", "", text))) == prefixes == {"dbo", "rdfs", "xsd"}
    assert all(text.count(opening) == text.count(closing) for opening, closing in (("{", "}"), ("(", ")")))
    days = re.findall(r'"(\d{4}-\d\d-\d\d)"\^\^xsd:date', text)
    assert (date.fromisoformat(days[1]) - date.fromisoformat(days[0])).days == 1
    assert "ORDER BY ?person LIMIT 100 OFFSET 0" in text


def test_who_asks_is_said(server: Apis) -> None:
    search("commons:roses")
    assert {headers["User-Agent"] for headers in server.headers} == {"ganpipe/0.1 (+me@example.org)"}


def test_an_api_is_asked_no_more_often_than_is_due(server: Apis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asker.SECONDS["Openverse"] == 0  # set by the fixture
    monkeypatch.setitem(asker.SECONDS, "Openverse", 0.1)
    began = time.monotonic()
    search("openverse:roses")
    assert time.monotonic() - began >= 0.2  # three pages


@pytest.mark.parametrize(
    ("odd", "least"),
    [
        (give(429, Retry_After="1"), 1),
        (give(503), 0),
        (answer({"error": {"code": "maxlag", "info": "Waiting: 6 seconds lagged"}}, Retry_After="1"), 1),
        (answer({"error": {"code": "ratelimited", "info": "too many"}}), 0),
        (lambda handler, _: handler.give(200, b'{"query"', length=1000), 0),
    ],
)
def test_what_may_pass_is_asked_again(server: Apis, odd: Answer, least: float) -> None:
    server.odd = [None, odd]
    server.images["roses"] = 80
    began = time.monotonic()
    assert len(search("commons:roses")) == 80
    assert time.monotonic() - began >= least
    assert len(server.asked) == 3
    assert server.asked[1] == server.asked[2]


def test_names_that_are_a_part_only_are_asked_for_again(server: Apis) -> None:
    born(server, {0: ["Ann Bee"]})
    rows: dict[str, Any] = {"results": {"bindings": []}}
    server.odd = [answer(rows, X_SQL_State="S1TAT"), give(206, json.dumps(rows).encode())]
    assert len(search("people:1990", most=5)) == 5
    assert server.asked[0] == server.asked[1] == server.asked[2]


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        (give(403), "Wikimedia Commons answered 403"),
        (give(429, Retry_After="86400"), "answered 429 and wants not to be asked for 1,440 minutes"),
        (give(301, Location="/commons?x=1"), "answered 301"),
        (give(302, Location="http://127.0.0.2:9/"), "answered 302"),
        (give(200, b"<html>"), "answered with something that is no JSON"),
        (give(200, b"[" * 1_000_000), "answered with something that is no JSON"),
        (give(200, b"[1]"), "answered with JSON that is no object"),
        (give(200, b'{"query": 5}'), "answered without a list `pages`"),
        (give(200, b'{"query": {"pages": {}}}'), "answered without a list `pages`"),
        (give(200, b"{}" + b" " * (1 << 20)), "answered with more than"),
        (give(200, gzip.compress(bytes(1 << 24)), Content_Encoding="gzip"), "answered with more than"),
        (give(200, b"{}", Content_Encoding="gzip"), "gave no answer"),
        (give(200, b"{}", Content_Encoding="gzip, gzip"), "answered in a compression that was not asked for"),
        (answer({"error": {"code": "badvalue", "info": "no such\x1b thing"}}), "answered badvalue: no such thing"),
        (answer({"error": 5}), "answered unknown error"),
        (answer({"continue": {"gsroffset": "x"}}), "leads nowhere"),
        (answer({"continue": {"a": ["b"]}}), "of a wrong form"),
        (answer({"continue": {"a": "\ud800"}}), "of a wrong form"),
        (answer({"continue": {str(n): 1 for n in range(100)}}), "of a wrong form"),
    ],
)
def test_what_does_not_pass_is_said(server: Apis, odd: Answer, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asker, "MOST_BYTES", 1 << 20)
    server.odd = [None, odd]
    server.images["roses"] = 80
    with pytest.raises(UserError, match=re.escape(sentence)) as caught:
        search("commons:roses")
    assert "run again" in str(caught.value)
    assert not TO.exists()
    assert len(server.asked) == 2
    assert len(search("commons:roses")) == 80  # and the first page is not asked for again
    assert len(server.asked) == 3


def test_a_continuation_that_goes_round_in_circles_ends(server: Apis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apis, "COMMONS_PAGES", 10)
    same = answer({"continue": {"gsroffset": 50}})
    server.odd = [same, same]
    with pytest.raises(UserError, match="leads nowhere"):
        search("commons:roses")
    Path("found.jsonl.part").unlink()
    server.odd = [answer({"continue": {"gsroffset": 50 + n % 2}}) for n in range(100)]
    with pytest.raises(UserError, match="finds no images"):
        search("commons:roses")
    assert len(server.asked) == 2 + 10


def test_an_api_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    point(monkeypatch.setattr, 9)  # where nothing listens
    with pytest.raises(UserError, match="Openverse gave no answer \\(ConnectError"):
        search("openverse:roses")


def test_a_search_that_finds_nothing_is_said_and_asked_again(server: Apis) -> None:
    server.images["zzz"] = 0
    for kind in ("openverse", "commons"):
        for _ in range(2):
            with pytest.raises(UserError, match=f"{kind}:zzz finds no images"):
                search(f"{kind}:zzz")
    assert len(server.asked) == 4
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("openverse:", "write one as openverse:wild roses"),
        ("commons:  ", "write one as openverse:wild roses"),
        ("people:", "write one as openverse:wild roses"),
        ("flickr:roses", "write one as openverse:wild roses"),
        ("roses.csv", "write one as openverse:wild roses"),
        ("people:abc", "as people:1950"),
        ("people:19", "as people:1950"),
        ("people:0000", "as people:1950"),
        ("people:9999", "as people:1950"),
        (f"people:{date.today().year - 18}", "no images of children are looked for"),
        ("people:١٩٥٠", "as people:1950"),
        ("openverse/gpl:roses", "'gpl' is no licence; there are by, by-sa"),
        ("openverse/:roses", "'' is no licence"),
        ("openverse:" + "x" * 201, "200 characters at most"),
        ("commons:a\nb", "none that do not print"),
    ],
)
def test_what_is_no_search_is_said(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        find(text, 10, 5, "me@example.org", TO)
    assert not list(Path().iterdir())


def test_searches_are_told_from_paths() -> None:
    for text in ("openverse:x", "openverse/cc0+by:x", "commons:x", "people:1950", "people:abc", "openverse:"):
        assert is_search(text)
    for text in ("roses.csv", "commons/roses.csv", "commons", "./openverse:x", "C:\\roses.csv", "people/x:y", "/x/a:b"):
        assert not is_search(text)


def test_another_search_of_the_same_name_begins_anew(server: Apis) -> None:
    server.images["roses"] = 80
    server.odd = [None, give(403)]
    with pytest.raises(UserError):
        search("commons:roses")
    search("commons:tulips")
    assert [each["query"] for each in search("commons:tulips")] == ["tulips"] * 45


CHILD = """
import sys
from pathlib import Path
from ganpipe.corpus import apis, asker, http, people
from ganpipe.corpus.search import find
for name, path in (("OPENVERSE", "openverse/"), ("COMMONS", "commons"), ("DBPEDIA", "dbpedia")):
    setattr(apis, name, f"http://127.0.0.1:{sys.argv[1]}/{path}")
asker.SECONDS = dict.fromkeys(asker.SECONDS, 0.0)
apis.COMMONS_PAGE, days = 3, people.days
people.days = lambda *those: days(*those)[:4]
find(sys.argv[2], 1000, 2, "me@example.org", Path("found.jsonl"))
"""


@pytest.mark.parametrize("text", ["commons:roses", "people:1990"])
def test_kills_lose_a_page_at_most_and_change_nothing(server: Apis, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    born(server, {place: [f"Person {'xyz'[place]}{letter}" for letter in "abcd"] for place in range(3)})
    server.images["roses"] = 45
    command = [sys.executable, "-c", CHILD, str(server.server_port), text]
    monkeypatch.setattr(apis, "COMMONS_PAGE", 3)  # as in the child
    search(text, each=2)
    server.delay = 0.02
    undisturbed, pages = TO.read_bytes(), server.pages()
    assert len(pages) == len(set(pages)) == (15 if text == "commons:roses" else 4 + 12)
    TO.unlink()
    kills, part = 0, Path("found.jsonl.part")
    while not TO.exists():
        held = max(part.read_bytes().count(b"\n") - 1, 0) if part.exists() else 0  # but for the line of the search
        server.asked.clear()
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while child.poll() is None and len(server.asked) < 4 + kills % 2:
            time.sleep(0.001)
        time.sleep(0.004 * kills)
        child.send_signal(signal.SIGKILL)
        kills += child.wait() != 0
        assert server.pages() == pages[held : held + len(server.asked)]
    assert kills >= 3
    assert TO.read_bytes() == undisturbed
    assert not part.exists()


def test_half_a_line_is_cut_off(server: Apis) -> None:
    server.images["roses"] = 120
    undisturbed = find("commons:roses", 1000, 5, "me@example.org", Path("undisturbed.jsonl")).read_bytes()
    part = Path("found.jsonl.part")
    server.odd = [None, give(403)]
    with pytest.raises(UserError):
        search("commons:roses")
    whole = part.read_bytes()
    for rest in (b'{"images": [], "person": null, "follow', b'{"images": []}', b"\0" * 100 + b"\n", b"\xff\n"):
        TO.unlink(missing_ok=True)
        part.write_bytes(whole + rest)
        server.asked.clear()
        search("commons:roses")
        assert TO.read_bytes() == undisturbed
        assert [query["gsroffset"] for _, query in server.asked] == ["50", "100"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def mangled(template: Any) -> st.SearchStrategy[Any]:
    """The template, with some of it of another form, or gone."""
    if isinstance(template, dict):
        inner: st.SearchStrategy[Any] = st.fixed_dictionaries(
            {}, optional={key: mangled(value) for key, value in template.items()}
        )
    elif isinstance(template, list):
        inner = st.lists(st.one_of([mangled(each) for each in template] or [JSON]), max_size=3)
    else:
        inner = st.just(template)
    return st.integers(0, 9).flatmap(lambda dice: JSON if dice == 0 else st.just(template) if dice < 4 else inner)


TEMPLATES = {
    "openverse:roses": {"page_count": 3, "results": [openverse_result(1), openverse_result(2)]},
    "commons:roses": {
        "query": {"pages": [commons_page("x", 1), commons_page("x", 2)]},
        "continue": {"gsroffset": 50, "continue": "gsroffset||"},
    },
    "people:2000": {
        "results": {"bindings": [{"name": {"value": "Ann Bee"}}]},
        "query": {"pages": [commons_page("x", 1)]},
    },
}


ERROR = {"error": {"code": "internal_api_error_X", "info": "no"}}


@pytest.mark.parametrize("text", TEMPLATES)
def test_whatever_an_api_answers_is_a_list_or_a_sentence(
    server: Apis, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apis, "COMMONS_PAGES", 3)
    monkeypatch.setattr(http, "ATTEMPTS", 1)
    seen = set()

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(
        st.lists(mangled(TEMPLATES[text]) | mangled(TEMPLATES[text]) | mangled(ERROR), min_size=1, max_size=3),
        st.sampled_from([b"", b"", b"", b"\xff", b"]", b"{}"]),
    )
    @example([TEMPLATES[text]], b"")
    @example([TEMPLATES[text], {}], b"")
    @example([ERROR], b"")
    def check(answers: list[Any], more: bytes) -> None:
        for path in Path().glob("found*"):
            path.unlink()
        last = len(answers) - 1
        bodies = [json.dumps(each).encode() + (more if n == last else b"") for n, each in enumerate(answers)]
        server.odd = [give(200, bodies[min(n, last)]) for n in range(100)]
        try:
            for each in search(text, most=20):
                seen.add("list")
                assert lists.plain(each["url"]) == each["url"]
                assert set(each) <= FACTS
                assert all(isinstance(value, int) or 0 < len(value) <= 8192 for value in each.values())
        except UserError as error:
            seen.add("sentence")
            assert "answered " in str(error) or "finds no images" in str(error)

    check()
    assert seen == {"list", "sentence"}


def test_the_stage_fetches_what_a_search_finds(server: Apis, monkeypatch: pytest.MonkeyPatch) -> None:
    private = scrape.Settings("me@example.org", per_second=1000, private=True)
    monkeypatch.setattr(scrape.Settings, "__new__", lambda cls, contact, per_second: private)
    here = f"http://127.0.0.1:{server.server_port}/pictures"
    results = [openverse_result(number, url=f"{here}/{number}.png") for number in range(3)]
    server.odd = [answer({"page_count": 1, "results": results})]
    params = download_params("scrape", "openverse/by-sa:roses", contact="me@example.org", most=2)
    assert download(params, Path("out")) == {"images": 2, "rejected": 0, "scraped_ok": 2}
    images = Images(Path("out"))
    assert images.manifest["title"] == "openverse/by-sa:roses"
    kept = list(images.facts(np.arange(2)))
    assert [each["url"] for each in kept] == [f"{here}/{number}.png" for number in range(2)]
    assert (kept[0]["licence"], kept[0]["creator"], kept[0]["query"]) == ("by-sa 2.0", "A. Person", "roses")
    assert download(params, Path("again"))["images"] == 2
    assert [path for path, _ in server.asked].count("/openverse/") == 1
    server.odd = [answer({"page_count": 1, "results": results})]
    assert download(params.model_copy(update={"most": 3}), Path("more"))["images"] == 3
