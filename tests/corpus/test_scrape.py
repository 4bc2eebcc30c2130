"""Against real servers on this machine, one for each of several hosts: 127.0.0.1, 127.0.0.2, ..."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest
from corpus import mirror
from corpus.pictures import encode, names, noise

from ganpipe.corpus import scrape as module
from ganpipe.corpus.download import download
from ganpipe.corpus.lists import Listed, Wanted
from ganpipe.corpus.pack import pack
from ganpipe.corpus.scrape import Settings, scrape, source
from ganpipe.corpus.shards import Images
from ganpipe.corpus.sources import data
from ganpipe.errors import UserError
from support.settings import download_params

PICTURE = encode(noise(1, 8, 8)[0])
FOLDER = Path("scraped")
OPEN = Settings("me@example.org", per_second=1000, deadline=5, private=True)
Answer = Callable[["Handler"], None]


class Handler(mirror.Handler):
    server: "Hosts"  # type: ignore[assignment]

    def do_GET(self) -> None:
        host = self.headers["Host"].split(":")[0]
        with self.server.lock:
            self.server.asked.append((time.monotonic(), host, self.path, dict(self.headers)))
        count = sum(h == host and path == self.path for _, h, path, _ in self.server.asked)
        answers = self.server.answers.get((host, self.path)) or self.server.answers.get(("", self.path))
        if answers is None:
            self.give(404)
        else:
            answers[min(count, len(answers)) - 1](self)

    def give(self, status: int = 200, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        super().give(status, body, length, **{"Content_Type": "image/png", **headers})


class Hosts(ThreadingHTTPServer):
    """Answers by host and path; of no host where it is any."""

    def __init__(self) -> None:
        super().__init__(("0.0.0.0", 0), Handler)
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.asked: list[tuple[float, str, str, dict[str, str]]] = []
        self.lock = threading.Lock()

    def handle_error(self, *_: object) -> None:
        pass

    def url(self, path: str, *answers: Answer, host: str = "127.0.0.1") -> str:
        if answers:
            self.answers[host, path] = list(answers)
        return f"http://{host}:{self.server_port}{path}"

    def paths(self) -> list[str]:
        return [path for _, _, path, _ in self.asked]


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with mirror.serving(Hosts()) as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)


def picture(handler: Handler) -> None:
    handler.give(body=PICTURE)


def status(code: int, **headers: str) -> Answer:
    return lambda handler: handler.give(code, b"", None, **headers)


def redirect(to: str) -> Answer:
    return status(302, Location=to)


def robots(text: str, code: int = 200) -> Answer:
    return lambda handler: handler.give(code, text.encode(), Content_Type="text/plain")


def listed(*urls: str) -> Listed:
    return Listed([Wanted(url, {}) for url in urls], 0, [])


def outcomes(*urls: str, settings: Settings = OPEN) -> list[str]:
    """Of each address alone in its list, in its own ledger."""
    found = []
    for number, url in enumerate(urls):
        (outcome,) = scrape(listed(url), settings, FOLDER / str(number)).elements()
        found.append(outcome)
    return found


def test_images_come_in_the_lists_order_with_what_is_said_of_them(hosts: Hosts) -> None:
    pictures = {f"/{number}.png": encode(noise(1, 8, 8, number)[0]) for number in range(12)}
    urls = []
    for number, (path, body) in enumerate(pictures.items()):
        answer = lambda handler, body=body: handler.give(body=body, Last_Modified="Mon")  # noqa: E731
        urls.append(hosts.url(path, answer, host=f"127.0.0.{1 + number % 3}"))
    wanted = Listed([Wanted(url, {"licence": f"CC{number}"}) for number, url in enumerate(urls)], 2, ["x"])
    assert scrape(wanted, OPEN, FOLDER) == {"ok": 12, "repeated": 2, "not an address": 1}
    entries = list(source("roses", wanted, FOLDER).entries())
    assert [data(entry) for entry in entries] == list(pictures.values())
    assert entries[3].facts == {"licence": "CC3", "url": urls[3], "last_modified": "Mon"}
    agents = {headers["User-Agent"] for *_, headers in hosts.asked}
    assert agents == {"ganpipe/0.1 (+me@example.org)"}
    assert Counter(hosts.paths()) == {**dict.fromkeys(pictures, 1), "/robots.txt": 3}


def test_robots_txt_is_obeyed_before_anything_is_asked_for(hosts: Hosts) -> None:
    hosts.url("/robots.txt", robots("User-agent: *\nDisallow: /private\n\nUser-agent: ganpipe\nDisallow: /art"))
    found = outcomes(hosts.url("/art/1.png", picture), hosts.url("/private/1.png", picture))
    assert found == ["robots.txt", "ok"]  # the rules for us, not those for all
    assert "/art/1.png" not in hosts.paths()


@pytest.mark.parametrize(("code", "found"), [(404, "ok"), (403, "ok"), (500, "its robots.txt cannot be had")])
def test_without_robots_txt_all_is_allowed_and_while_it_fails_nothing(hosts: Hosts, code: int, found: str) -> None:
    hosts.url("/robots.txt", robots("User-agent: *\nDisallow: /", code))
    assert outcomes(hosts.url("/1.png", picture)) == [found]
    assert ("/1.png" in hosts.paths()) == (found == "ok")
    hosts.url("/robots.txt", robots(""))
    assert outcomes(hosts.url("/1.png")) == ["ok"]  # what failed is tried again
    assert hosts.paths().count("/1.png") == 1


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("noai", "noai"),
        ("noimageai, nofollow", "noai"),
        ("NoIndex", "noai"),
        ("ganpipe: noai", "noai"),
        ("googlebot: noai", "ok"),
        ("nofollow", "ok"),
    ],
)
def test_an_x_robots_tag_is_obeyed_before_the_body_is_read(hosts: Hosts, header: str, found: str) -> None:
    def answer(handler: Handler) -> None:
        handler.give(body=PICTURE if found == "ok" else b"", length=len(PICTURE), X_Robots_Tag=header)
        if found != "ok":
            time.sleep(0.3)  # who waits for the body waits

    assert outcomes(hosts.url("/1.png", answer)) == [found]


def test_redirects_are_followed_recorded_and_obey_the_hosts_they_lead_to(hosts: Hosts) -> None:
    there = hosts.url("/there.png", picture, host="127.0.0.2")
    here = hosts.url("/1.png", redirect(there))
    assert outcomes(here) == ["ok"]
    (entry,) = source("x", listed(here), FOLDER / "0").entries()
    assert entry.facts == {"url": here, "redirected": there}
    hosts.url("/robots.txt", robots("User-agent: *\nDisallow: /"), host="127.0.0.3")
    forbidden = hosts.url("/2.png", redirect(hosts.url("/x.png", picture, host="127.0.0.3")))
    loop = hosts.url("/3.png", redirect("/3.png"))
    for n in range(9):
        hosts.url(f"/c{n}", redirect(f"/c{n + 1}"))
    chain = hosts.url("/c0")
    nowhere = hosts.url("/4.png", redirect("file:///etc/passwd"))
    found = [scrape(listed(url), OPEN, Path(f"r{n}")) for n, url in enumerate((forbidden, loop, chain, nowhere))]
    assert [list(each) for each in found] == [
        ["robots.txt"],
        ["redirected to nowhere"],
        ["too many redirects"],
        ["redirected to nowhere"],
    ]
    assert "/x.png" not in hosts.paths()


def test_private_addresses_are_refused_at_every_hop_and_after_dns(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = hosts.server_port
    hosts.url("/1.png", picture, host="")
    private = OPEN._replace(private=False)
    for host in (
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "10.1.2.3",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
    ):
        assert outcomes(f"http://{host}:{port}/1.png", settings=private)[0] in ("private address", "not an address"), (
            host
        )
        for path in FOLDER.rglob("*.*"):
            path.unlink()
    assert hosts.asked == []
    monkeypatch.setattr(
        module, "_public", lambda host: host == "127.0.0.1"
    )  # a public host that leads to a private one
    inwards = hosts.url("/2.png", redirect(f"http://127.0.0.2:{port}/1.png"))
    assert outcomes(inwards, settings=private) == ["private address"]
    assert {host for _, host, _, _ in hosts.asked} == {"127.0.0.1"}


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_public(host: str) -> None:
    assert module._public(host)


@pytest.mark.parametrize(
    "host",
    [
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "::ffff:10.0.0.1"),  # that lead to an IPv4 address
        *(
            "2002:808:808::",
            "::7f00:1",
            "::808:808",
            "fec0::1",
            "fe80::1%eth0",
            "ff02::1",
            "2001:0:7f00:1::",
            "::",
            "100.64.0.1",
        ),
    ],
)
def test_addresses_by_way_of_others_are_private(host: str) -> None:
    assert not module._public(host)


def test_a_host_is_asked_one_request_at_a_time_and_no_more_often_than_is_said(hosts: Hosts) -> None:
    urls = [hosts.url(f"/{n}.png", picture, host=f"127.0.0.{1 + n % 2}") for n in range(8)]
    hosts.url("/robots.txt", robots("User-agent: *\nCrawl-delay: 0.3"), host="127.0.0.2")
    began = time.monotonic()
    assert scrape(listed(*urls), OPEN._replace(per_second=10), FOLDER) == {"ok": 8}
    for host, least in (("127.0.0.1", 0.1), ("127.0.0.2", 0.3)):
        times = [at for at, asked, path, _ in hosts.asked if asked == host][1:]
        assert all(b - a >= 0.9 * least for a, b in itertools.pairwise(times))
    assert time.monotonic() - began < 3  # the hosts beside each other


def test_hosts_that_are_to_be_asked_later_keep_no_connection_from_others(hosts: Hosts) -> None:
    """Robots.txt, then a second of silence: meanwhile two connections are enough for all that the other hosts have."""
    slow, quick = (f"127.0.0.{n}" for n in (2, 3, 4)), (f"127.0.0.{n}" for n in (5, 6, 7))
    patient = [hosts.url("/slow.png", picture, host=host) for host in slow]
    urls = [hosts.url(f"/{n}.png", picture, host=host) for host in quick for n in range(4)]
    for url in patient:
        hosts.url("/robots.txt", robots("User-agent: *\nCrawl-delay: 1"), host=url.split("/")[2].split(":")[0])
    assert scrape(listed(*patient, *urls), OPEN._replace(connections=2), FOLDER) == {"ok": 15}
    assert hosts.paths()[-3:] == ["/slow.png"] * 3


def test_waiting_for_a_hosts_turn_is_no_part_of_an_images_time(hosts: Hosts) -> None:
    hosts.url("/robots.txt", robots("User-agent: *\nCrawl-delay: 0.4"))
    urls = [hosts.url(f"/{n}.png", picture) for n in range(2)]
    assert scrape(listed(*urls), OPEN._replace(deadline=0.3), FOLDER) == {"ok": 2}


def test_an_image_has_its_time_for_all_its_redirects_together(hosts: Hosts) -> None:
    def slowly(handler: Handler) -> None:
        time.sleep(0.1)
        number = int(handler.path[1:])
        (redirect(f"/{number + 1}") if number < 4 else picture)(handler)

    urls = [hosts.url(f"/{n}", slowly) for n in range(5)]
    assert outcomes(urls[0], urls[4], settings=OPEN._replace(deadline=0.3)) == ["timed out", "ok"]


def test_where_many_hosts_redirect_to_one_it_is_asked_one_thing_at_a_time(hosts: Hosts) -> None:
    asking: list[int] = []

    def one(handler: Handler) -> None:
        asking.append(1)
        time.sleep(0.02)
        handler.give(body=PICTURE if len(asking) == 1 else b"")
        asking.pop()

    urls = []
    for n in range(2, 6):
        there = hosts.url(f"/{n}.png", one, host="127.0.0.10")
        urls.append(hosts.url(f"/{n}", redirect(there), host=f"127.0.0.{n}"))
    assert scrape(listed(*urls), OPEN, FOLDER) == {"ok": 4}


def test_a_host_that_is_busy_is_left_alone_for_a_while(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.2)
    urls = [hosts.url("/busy", status(503), picture), *(hosts.url(f"/{n}", picture) for n in range(3))]
    assert scrape(listed(*urls), OPEN, FOLDER) == {"ok": 4}
    times = [at for at, _, path, _ in hosts.asked if path != "/robots.txt"]
    assert times[1] - times[0] >= 0.14  # of whatever is asked next


def test_a_host_that_asks_for_silence_gets_it_and_is_left_to_the_next_run_where_that_is_long(hosts: Hosts) -> None:
    busy = hosts.url("/busy", status(429, Retry_After="1"), picture)
    urls = [busy, *(hosts.url(f"/{n}", picture) for n in range(3))]
    assert scrape(listed(*urls), OPEN, FOLDER) == {"ok": 4}
    times = [at for at, _, path, _ in hosts.asked if path != "/robots.txt"]
    assert times[1] - times[0] >= 0.9  # of whatever is asked next
    busy = hosts.url("/closed", status(503, Retry_After="3600"), picture, host="127.0.0.2")
    urls = [busy, *(hosts.url(f"/c{n}", picture, host="127.0.0.2") for n in range(2))]
    found = scrape(listed(*urls), OPEN, Path("closed"))
    assert found == {"answered 503": 1, "its host asked for a longer wait": 2}
    assert [path for path in hosts.paths() if path.startswith("/c")] == ["/closed"]
    assert scrape(listed(*urls), OPEN, Path("closed")) == {"ok": 3}


def test_failures_that_pass_are_tried_again_and_others_are_not(hosts: Hosts) -> None:
    busy = hosts.url("/busy", status(503), status(429, Retry_After="0"), picture)
    gone = hosts.url("/gone", status(404))
    broken = hosts.url("/broken", lambda handler: handler.give(body=PICTURE[:20], length=len(PICTURE)))
    never = hosts.url("/never", status(503))
    urls = listed(busy, gone, broken, never)
    assert scrape(urls, OPEN, FOLDER) == {"ok": 1, "answered 404": 1, "broke off": 1, "answered 503": 1}
    asked = Counter(hosts.paths())
    assert (asked["/gone"], asked["/broken"], asked["/never"]) == (1, module.ATTEMPTS, module.ATTEMPTS)
    hosts.url("/never", picture)
    assert scrape(urls, OPEN, FOLDER) == {"ok": 2, "answered 404": 1, "broke off": 1}  # on the next run
    assert (Counter(hosts.paths())["/gone"], Counter(hosts.paths())["/busy"]) == (1, 3)


def test_bodies_are_bounded(hosts: Hosts) -> None:
    small = OPEN._replace(most_bytes=1000, deadline=0.5)

    def unannounced(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(bytes(1000))

    def dripping(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    found = outcomes(
        hosts.url("/1", lambda handler: handler.give(body=bytes(2000))),
        hosts.url("/2", unannounced),
        hosts.url("/3", dripping),
        hosts.url("/4", lambda handler: handler.give(body=b"<html>", Content_Type="text/html; charset=utf-8")),
        hosts.url("/5", lambda handler: handler.give(body=b"x", Content_Encoding="gzip")),
        hosts.url("/6", status(200)),
        settings=small,
    )
    assert found == ["too large", "too large", "timed out", "not an image", "compressed", "empty"]


def test_the_stage_packs_what_was_scraped(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Settings, "__new__", lambda cls, contact, per_second: OPEN._replace(contact=contact))
    urls = [hosts.url(f"/{n}", picture) for n in range(3)] + [hosts.url("/text", lambda h: h.give(body=b"Dear all"))]
    Path("l.txt").write_text("\n".join([*urls, urls[0], hosts.url("/gone"), "nonsense"]))
    found = download(download_params("scrape", "l.txt", contact="me@example.org", per_second=1000), Path("out"))
    expected = {"ok": 4, "answered_404": 1, "repeated": 1, "not_an_address": 1}
    assert found == {"images": 3, "rejected": 1, **{f"scraped_{name}": count for name, count in expected.items()}}
    images = Images(Path("out"))
    assert names(images) == urls[:3]
    assert images.manifest["rejected"] == [{"name": urls[3], "reason": "not an image"}]
    assert images.manifest["outcomes"]["answered 404"] == 1


def test_where_no_address_gives_an_image_it_is_told_what_became_of_them(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Settings, "__new__", lambda cls, contact, per_second: OPEN._replace(contact=contact))
    Path("l.txt").write_text("\n".join([hosts.url("/gone"), hosts.url("/lost"), "nonsense"]))
    with pytest.raises(
        UserError, match=r"none of the 3 addresses in l\.txt gave an image: 2 answered 404, 1 not an address$"
    ):
        download(download_params("scrape", "l.txt", contact="me@example.org", per_second=1000), Path("out"))


def test_images_are_decoded_while_others_are_on_their_way(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "LAST_CHECKS", 60)
    urls = [hosts.url(f"/{n}", picture) for n in range(4)] + [hosts.url("/text", lambda h: h.give(body=b"Dear all"))]
    assert scrape(listed(*urls), OPEN, FOLDER) == {"ok": 5}
    entries = list(source("x", listed(*urls), FOLDER).entries())
    assert [(entry.size, entry.reason) for entry in entries] == [((8, 8), "")] * 4 + [(None, "not an image")]
    assert entries[0].facts == {"url": urls[0]}
    found = pack(source("x", listed(*urls), FOLDER), "l.txt", Path("out"), {"name": "scrape"})
    assert found == {"images": 4, "rejected": 1}
    lines = (FOLDER / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (FOLDER / "ledger.jsonl").write_bytes(b"".join(lines[:5]))  # as a kill leaves it: each came, and none was looked at
    assert pack(source("x", listed(*urls), FOLDER), "l.txt", Path("out"), {"name": "scrape"}) == found


def test_what_is_missing_for_it_is_said() -> None:
    for path, contact, sentence in (
        (None, "a@b.org", "set download.path to a list of addresses"),
        ("l.txt", None, "set download.contact to your mail address or page"),
    ):
        with pytest.raises(UserError, match=sentence):
            download(download_params("scrape", path, contact=contact), Path("out"))
    with pytest.raises(ValueError, match="a mail address or a page's address is due"):
        download_params("scrape", "l.txt", contact="me\nX-Evil: 1")


def test_there_may_be_more_hosts_than_a_process_may_open_files(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "protocol_version", "HTTP/1.1")  # connections stay open
    urls = [hosts.url(f"/{n}", picture, host=f"127.0.1.{host}") for n in range(2) for host in range(1, 81)]
    Path("l.txt").write_text("\n".join(urls))
    few = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
    subprocess.run([sys.executable, "-c", few + CHILD, "l.txt", str(FOLDER)], check=True)
    assert source("x", listed(*urls), FOLDER).total == 160
    assert len(hosts.asked) == 240  # each once, and 80 times robots.txt


CHILD = """
import sys
from pathlib import Path
from typing import Literal
from ganpipe.corpus import lists, scrape
settings = scrape.Settings("me@example.org", per_second=1000, connections=4, deadline=5, private=True)
scrape.scrape(lists.read(Path(sys.argv[1])), settings, Path(sys.argv[2]))
"""


def test_kills_lose_and_repeat_nothing(hosts: Hosts) -> None:
    def slowly(handler: Handler) -> None:
        time.sleep(0.02)
        handler.give(body=PICTURE + handler.path.encode() * 100)  # what follows its end is no part of it

    urls = [hosts.url(f"/{n}", slowly, host=f"127.0.0.{1 + n % 4}") for n in range(120)]
    Path("l.txt").write_text("\n".join(urls))
    command = [sys.executable, "-c", CHILD, "l.txt", str(FOLDER)]
    kills = 0
    for _ in range(20):
        child = subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL)
        before = len(hosts.asked)
        while child.poll() is None and len(hosts.asked) < before + 8:
            time.sleep(0.002)
        if child.poll() is not None:
            break
        child.send_signal(signal.SIGKILL)
        child.wait()
        kills += 1
    assert kills == 20
    assert scrape(listed(*urls), OPEN, FOLDER) == {"ok": 120}
    entries = list(source("x", listed(*urls), FOLDER).entries())
    assert [data(entry) for entry in entries] == [PICTURE + f"/{n}".encode() * 100 for n in range(120)]
    asked = Counter(path for path in hosts.paths() if path != "/robots.txt")
    assert len(asked) == 120
    assert sum(asked.values()) <= 120 + 4 * kills  # those on their way when the kill came, one a host


def test_only_so_many_large_images_are_on_their_way_at_a_time(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 10)
    monkeypatch.setattr(module, "LARGE_AT_ONCE", 2)
    held: list[int] = [0]

    class Counted(asyncio.Semaphore):
        async def acquire(self) -> Literal[True]:
            found = await super().acquire()
            held.append(held[-1] + 1)
            return found

        def release(self) -> None:
            held.append(held[-1] - 1)
            super().release()

    def slowly(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(4):
            handler.wfile.write(bytes(8))
            handler.wfile.flush()
            time.sleep(0.05)

    monkeypatch.setattr(asyncio, "Semaphore", Counted)
    urls = [hosts.url("/1", slowly, host=f"127.0.0.{number}") for number in range(1, 9)]
    small = hosts.url("/small", lambda handler: handler.give(body=b"x"), host="127.0.0.9")
    assert scrape(listed(*urls, small), OPEN, FOLDER) == {"ok": 9}
    assert max(held) == 2
    assert held.count(2) > 1  # each of the eight took its turn, and none who is small
    assert len(held) == 1 + 2 * 8
