"""What hosts and lists say: lists of addresses, robots.txt, and answers to requests, byte by byte."""

import asyncio
import io
import json
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial

import pyarrow as pa
import pyarrow.parquet as pq
from corpus.hostile import Input, Kind, altered
from corpus.hostile_archives import PICTURE

URLS = [f"http://example.org/{number}.png" for number in range(3)]
AGAIN = b"\0AGAIN\0"  # in an answer: what follows is sent until the client has had enough
ANOTHER = b"\0ANOTHER\0"  # in an answer: a number that no other answer has
MOST_SECONDS, MOST_BYTES = 1.0, 64 << 20  # that an answer without end takes


@cache
def _lists() -> dict[str, bytes]:
    rows = [{"url": url, "caption": "a rose, “red”", "n": number} for number, url in enumerate(URLS)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return {
        "txt": "\n".join(["# a list", *URLS]).encode(),
        "csv": b"url,caption\n" + b"".join(b'%s,"a, rose"\n' % url.encode() for url in URLS),
        "jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in rows),
        "list.parquet": buffer.getvalue(),
    }


def _addresses() -> list[str]:
    """That are none, or that lead where nobody should go."""
    odd = [
        "http://",
        "http:///x",
        "http://[::1",
        "http://[::1]/",
        "http://a:99999/",
        "http://a:-1/",
        "http://a:x/",
        "//a/b",
    ]
    odd += [
        "file:///etc/passwd",
        "ftp://a/b",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "HTTP://EXAMPLE.ORG/",
    ]
    odd += [
        "http://user:password@a/",
        "http://a@b@c/",
        "http://" + "a" * 64 + ".org/",
        "http://" + "a." * 2000 + "org/",
    ]
    odd += [
        "http://a/" + "x" * 10_000,
        "http://a/\x00",
        "http://a/\r\nX-Evil: 1",
        "http://a b/",
        "http://ex%61mple.org/",
    ]
    odd += [
        "http://\u2100.org/",
        "http://xn--/",
        "http://xn--a.org/",
        "http://\u0130.org/",
        "http://a\u200b.org/",
        "http://../",
    ]
    odd += [
        "http://0x7f.1/",
        "http://017700000001/",
        "http://127.1/",
        "http://①.org/",
        "http://a\\b/",
        "http://-a.org/",
    ]
    return [*odd, *(f"http://{'é' * count}.org/" for count in (1, 60, 5000))]


def made_lists(kind: str) -> Iterator[Input]:
    yield Input("", "valid", _lists()[kind], 3)
    if kind == "txt":
        yield Input("", "odd addresses", "\n".join([*URLS, *_addresses()]).encode())
        yield Input("", "a line of 20 MB", b"http://a/" + b"x" * (20 << 20))
        yield Input("", "100,000 lines of nothing", b"\n" * 100_000)
        yield Input("", "no text", b"http://a/\xff\xfe")
        yield Input("", "UTF-16", "\n".join(URLS).encode("utf-16"))
        yield Input("", "NUL", b"http://a/\0b\n\0\n")
    if kind == "csv":
        yield Input("", "a field of 20 MB", b"url,caption\nhttp://a/b," + b"x" * (20 << 20))
        yield Input("", "an open quotation mark", b'url,caption\n"http://a/b,' + b"x\n" * 1_000_000)
        yield Input("", "NUL", b"url\nhttp://a/\0b\n\0\n")
        yield Input("", "more fields than columns", b"url\nhttp://a/b,1,2,3\n")
        yield Input("", "fewer fields than columns", b"caption,url\nx\n")
        yield Input("", "100,000 columns", b"url," * 100_000 + b"\n" + b"http://a/," * 100_000)
        yield Input("", "columns of no name", b",,url\nx,y,http://a/b\n")
        yield Input("", "odd addresses", ("url\n" + "\n".join(f'"{each}"' for each in _addresses())).encode())
    if kind == "jsonl":
        yield Input("", "deep", b"[" * 500_000)
        yield Input("", "deep and whole", b'{"url": "http://a/", "x": ' + b"[" * 500_000 + b"]" * 500_000 + b"}")
        yield Input("", "a number of 5,000 digits", b'{"url": "http://a/", "x": ' + b"9" * 5000 + b"}")
        yield Input("", "no text", b'{"url": "\xff"}')
        yield Input("", "addresses of other kinds", b'{"url": 5}\n{"url": []}\n{"url": null}')
        yield Input("", "half a surrogate pair", b'{"url": "http://a/\\ud800", "\\udc00": "\\udfff"}')
        yield Input("", "no numbers", b'{"url": "http://a/", "x": NaN, "y": Infinity}')
        yield Input("", "a line of 20 MB", b'{"url": "http://a/", "x": "' + b"x" * (20 << 20) + b'"}')
        odd = b"".join(json.dumps({"url": each}).encode() + b"\n" for each in _addresses())
        yield Input("", "odd addresses", odd)
    if kind == "list.parquet":
        for name, table in {
            "5 million rows": pa.table({"url": pa.nulls(5_000_000, pa.string())}),
            "20 times 12 MB": pa.table({"url": ["http://a/" + "x" * (12 << 20)] * 20}),
            "text that is none": pa.table({"url": pa.array([b"http://a/\xff"]).view(pa.string())}),
            "numbers": pa.table({"url": [1, 2]}),
            "times beyond all years": pa.table({"url": URLS, "at": pa.array([2**62] * 3, pa.timestamp("ms"))}),
            "no rows": pa.table({"url": pa.nulls(0, pa.string())}),
        }.items():
            buffer = io.BytesIO()
            pq.write_table(table, buffer, compression="zstd", use_dictionary="row" not in name)
            yield Input("", name, buffer.getvalue())


def altered_list(kind: str, rng: random.Random) -> bytes:
    return altered([_lists()[kind]], rng)


ROBOTS = b"User-agent: *\nDisallow: /private\nCrawl-delay: 1\n\nUser-agent: ganpipe\nAllow: /*.png$\nDisallow: /a*b\n"


def made_robots() -> Iterator[Input]:
    yield Input("", "valid", ROBOTS, 1)
    head = b"User-agent: *\n"
    for name, body in {
        "stars": head + b"Disallow: /" + b"*a" * 30 + b"*b$",
        "very many stars": head + b"Disallow: /" + b"*a" * 200_000,
        "stars and dollars": head + b"Disallow: " + b"*$" * 10_000,
        "many rules of stars": head + b"Disallow: /*a*a*a*a*b\n" * 20_000,
        "many rules": head + b"".join(b"Disallow: /%d\n" % number for number in range(40_000)),
        "many agents": b"".join(b"User-agent: a%d\n" % number for number in range(30_000)) + b"Disallow: /\n",
        "agents and rules": b"".join(b"User-agent: a%d\n" % n for n in range(300)) + b"Disallow: /%d\n" * 1000,
        "one line": b"x" * (1 << 20),
        "no text": bytes(range(256)) * 2000,
        "NUL": head + b"Disallow: /\0\nCrawl-delay: \0\n",
        "delays": head
        + b"".join(b"Crawl-delay: %s\n" % each for each in (b"inf", b"nan", b"-1", b"1e999", b"9" * 5000, b"0x10")),
        "rates": b"User-agent: ganpipe\nRequest-rate: 99999999999/0s 9999-9999\nVisit-time: 9999-x\n",
        "escapes": head + b"Disallow: /%\nDisallow: /%zz\nDisallow: /%ff%fe\nDisallow: /%2a%24\n",
        "lines that end in any way": b"User-agent: *\rDisallow: /a\x0bDisallow: /b\xe2\x80\xa8Disallow: /d",
        "a mark of order": b"\xef\xbb\xbfUser-agent: *\nDisallow: /",
        "a page": b"<html><body>not found</body></html>" * 1000,
        "colons": b":" * 500_000,
        "spaces": head + b"Disallow:" + b" " * 500_000 + b"/",
        "comments": b"#" * 500_000,
    }.items():
        yield Input("", name, body)


def altered_robots(rng: random.Random) -> bytes:
    return altered([ROBOTS, ROBOTS * 50], rng)


def _answer(head: str, body: bytes = PICTURE, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\n{head}\r\n\r\n".encode("utf-8", "surrogateescape") + body


WHOLE = _answer(f"Content-Type: image/png\r\nContent-Length: {len(PICTURE)}\r\nLast-Modified: Mon\r\nConnection: close")
CHUNKED = _answer("Transfer-Encoding: chunked\r\nConnection: close", b"%x\r\n%s\r\n0\r\n\r\n" % (len(PICTURE), PICTURE))


def made_answers() -> Iterator[Input]:
    yield Input("", "valid", WHOLE, 1)
    yield Input("", "valid in chunks", CHUNKED, 1)
    size = f"Content-Length: {len(PICTURE)}\r\nConnection: close"
    heads = {
        "a header of 100 KB": f"X: {'x' * 100_000}\r\n{size}",
        "5,000 headers": "".join(f"X-{n}: x\r\n" for n in range(5000)) + size,
        "a name of 100 KB": f"{'x' * 100_000}: x\r\n{size}",
        "cookies": "".join(f"Set-Cookie: a{n}=b; Expires=x; Path=/\r\n" for n in range(100)) + size,
        "a cookie of odd bytes": f"Set-Cookie: \xff\x00=\x01;\r\n{size}",
        "headers of odd bytes": f"Last-Modified: \udcff\udcfe\r\nX-Robots-Tag: \udcff\r\n{size}",
        "a header of no name": f": x\r\n{size}",
        "a header in lines": f"X: a\r\n b\r\n c\r\n{size}",
        "two lengths": f"Content-Length: 5\r\n{size}",
        "a length and chunks": f"Transfer-Encoding: chunked\r\n{size}",
        "an odd coding": f"Transfer-Encoding: gzip, x\r\n{size}",
        "an odd compression": f"Content-Encoding: br\r\n{size}",
        "a type of no kind": f"Content-Type: \r\n{size}",
        "a type of 5 KB": f"Content-Type: {'a/b;' * 1200}\r\n{size}",
        "an odd type": f"Content-Type: text/html; charset=\udcff\r\n{size}",
        "noai in capitals": f"X-Robots-Tag: NOAI\r\n{size}",
        "tags without end": f"X-Robots-Tag: {'a:,' * 2000}\r\n{size}",
        "an upgrade": f"Connection: Upgrade\r\nUpgrade: h2c\r\n{size}",
    }
    for name, head in heads.items():
        yield Input("", name, _answer(head))
    for length in ("-1", "0", "1", "99999", "9" * 30, "+5", "5, 5", "0x10", "", "5.0", str(2**63), str(2**64), "١"):
        yield Input("", f"a length of {length}", _answer(f"Content-Length: {length}\r\nConnection: close"))
    for chunks in (
        b"8000000000000000\r\n",
        b"ffffffffffffffff\r\n",
        b"10000000000000000\r\n",
        b"-1\r\n",
        b"0x5\r\n",
        b"\r\n",
        b"5;" + b"x" * 100_000 + b"\r\n",
    ):
        head = "Transfer-Encoding: chunked\r\nConnection: close"
        yield Input("", f"chunks of {chunks[:16]!r}", _answer(head, chunks + PICTURE))
        yield Input("", f"chunks of {chunks[:16]!r} second", _answer(head, b"4\r\n" + PICTURE[:4] + b"\r\n" + chunks))
    yield Input("", "headers without end", b"HTTP/1.1 200 OK\r\n" + AGAIN + b"X: x\r\n" * 1000)
    yield Input("", "a header without end", b"HTTP/1.1 200 OK\r\nX: " + AGAIN + b"x" * 10_000)
    yield Input("", "a status without end", b"HTTP/1.1 200 " + AGAIN + b"x" * 10_000)
    chunked = "Transfer-Encoding: chunked"
    yield Input("", "chunks without end", _answer(chunked, AGAIN + b"4\r\nabcd\r\n" * 2000))
    yield Input("", "trailers without end", _answer(chunked, b"4\r\nabcd\r\n0\r\n" + AGAIN + b"X: x\r\n" * 1000))
    yield Input("", "an extension without end", _answer(chunked, b"4;" + AGAIN + b"x" * 1000))
    yield Input("", "a body without end", _answer("Content-Type: image/png", AGAIN + bytes(65_536)))
    yield Input("", "Continue without end", AGAIN + b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    yield Input("", "Early Hints without end", AGAIN + b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 100)
    yield Input("", "Processing, then the picture", b"HTTP/1.1 102 Processing\r\n\r\n" * 50 + WHOLE)
    for line in (
        "200",
        "-1 OK",
        "099 X",
        "99999 X",
        "2x0 OK",
        "200 " + "x" * 20_000,
        "101 Switching",
        "204 None",
        "304 Same",
        "418 \udcff",
    ):
        yield Input("", f"a status of {line[:20]!a}", _answer(size, PICTURE, line))
    for first in (
        b"",
        b"\0" * 100,
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"<html>",
        b"HTTP/1.1",
        b"\r\n" * 1000,
        b"SSH-2.0-x\r\n",
        b"\x16\x03\x01\x02\x00",
    ):
        yield Input("", f"a beginning of {first[:16]!r} {len(first)}", first + PICTURE)
    later = [
        "0",
        "-5",
        "9" * 400,
        "1e5",
        "²",
        "Fri, 31 Dec 9999 23:59:59 -1200",
        "Mon, 01 Jan 0001 00:00:00 +1400",
        "x",
        "Mon, 99 Foo 2020 99:99:99 GMT",
        "Mon, 01 Jan 99999 00:00:00 GMT",
        "\udcff",
        "Mon, 01 Jan 1990 00:00:00 -0000",
        "1" + "," * 5000,
    ]
    for after in later:
        yield Input(
            "",
            f"Retry-After {after[:40]!a}",
            _answer(f"Retry-After: {after}\r\nContent-Length: 0\r\nConnection: close", b"", "503 Busy"),
        )
    places = [
        "",
        "/",
        "//",
        "///",
        "http://",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        "http://[::1]:80/",
        "http://a:b@c/",
        "\udcff",
        "/" + "x" * 8000,
        "/\t/x",
        "?",
        "#",
        "data:,x",
        "http:x",
        "/a\x01b",
        "http://127.0.0.1:99999/",
        "ITSELF",
        "/" + ANOTHER.decode(),
    ]
    for to in places:
        yield Input(
            "",
            f"a redirect to {to[:30]!a}",
            _answer(f"Location: {to}\r\nContent-Length: 0\r\nConnection: close", b"", "302 Found"),
        )
    yield Input("", "a redirect to nothing", _answer("Content-Length: 0", b"", "301 Moved"))


def altered_answer(rng: random.Random) -> bytes:
    return altered([WHOLE, WHOLE, CHUNKED, CHUNKED], rng)


@contextmanager
def hosts(answers: Sequence[bytes]) -> Iterator[list[str]]:
    """Addresses, two for each answer, on this machine alone: one that is answered with it, one whose robots.txt is."""
    served = [each for answer in answers for each in ((NOTHING, answer), (answer, WHOLE))]
    places = [f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}" for number in range(len(served))]
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        listening = asyncio.run_coroutine_threadsafe(_serve(dict(zip(places, served, strict=True))), loop)
        servers, port = listening.result()
        yield [f"http://{place}:{port}/picture.png" for place in places]
        for server in servers:
            loop.call_soon_threadsafe(server.close)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


NOTHING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def _serve(answers: dict[str, tuple[bytes, bytes]]) -> tuple[list[asyncio.Server], int]:
    """By address the answers to a request for its robots.txt, and to any other."""
    counted = iter(range(1_000_000))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            robots, other = answers[writer.get_extra_info("sockname")[0]]
            data = robots if head.startswith(b"GET /robots.txt") else other
            first, again, rest = data.replace(ANOTHER, b"%d" % next(counted)).partition(AGAIN)
            writer.write(first)
            sent, ends = 0, time.monotonic() + MOST_SECONDS
            while again and sent < MOST_BYTES and time.monotonic() < ends:
                writer.write(rest)
                sent += len(rest)
                await writer.drain()
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client has had enough
        finally:
            writer.close()

    servers: list[asyncio.Server] = []
    port = 0
    for place in answers:
        listening = socket.create_server((place, port), backlog=16)
        port = listening.getsockname()[1]
        servers.append(await asyncio.start_server(answer, sock=listening))
    return servers, port


KINDS = (
    *(
        Kind(kind, 0.01, partial(made_lists, kind), partial(altered_list, kind))
        for kind in ("txt", "csv", "jsonl", "list.parquet")
    ),
    Kind("robots", 0.03, made_robots, altered_robots),
    Kind("answer", 0.03, made_answers, altered_answer),
)
