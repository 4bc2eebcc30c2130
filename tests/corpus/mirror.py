"""A real server on this machine, for the tests of downloads."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

S = TypeVar("S", bound=ThreadingHTTPServer)


class Handler(BaseHTTPRequestHandler):
    """Gives the path's next answer, the last one for ever, and notes what was asked for."""

    server: "Mirror"

    def do_GET(self) -> None:
        requests = self.server.requests.setdefault(self.path, [])
        requests.append(self.headers["Range"])
        answers = self.server.answers[self.path]
        answers[min(len(requests), len(answers)) - 1](self)

    def give(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def span(self, size: int) -> tuple[int, int]:
        """The first byte that is asked for, and the one after the last."""
        first, _, last = (self.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")
        return int(first), min(size, int(last or size) + 1)

    def log_message(self, *_: object) -> None:
        pass


Answer = Callable[[Handler], None]


class Mirror(ThreadingHTTPServer):
    """Answers by path; `requests` has the Range header of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.requests: dict[str, list[str | None]] = {}

    def url(self, path: str, *answers: Answer) -> str:
        self.answers[path], self.requests[path] = list(answers), []
        return f"http://127.0.0.1:{self.server_port}{path}"


def serve(data: bytes, most: int | None = None, etag: str | None = None) -> Answer:
    """As a good server does, the Range that is asked for; breaks off after `most` bytes."""

    def answer(handler: Handler) -> None:
        start, stop = handler.span(len(data))
        if start >= len(data):
            handler.give(416, b"", Content_Range=f"bytes */{len(data)}")
            return
        wanted = data[start:stop]
        about = {"Content_Range": f"bytes {start}-{stop - 1}/{len(data)}", **({"ETag": etag} if etag else {})}
        handler.give(206 if handler.headers["Range"] else 200, wanted[:most], len(wanted), **about)

    return answer


def stall(data: bytes, silent: bool) -> Answer:
    """As `serve`, but only the first bytes come at once; then nothing for a while, or one byte now and then."""

    def answer(handler: Handler) -> None:
        start, stop = handler.span(len(data))
        handler.send_response(206 if handler.headers["Range"] else 200)
        handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        handler.send_header("Content-Length", str(stop - start))
        handler.end_headers()
        with suppress(OSError):  # who asked has hung up
            handler.wfile.write(data[start : min(stop, start + 10)])
            if silent:
                time.sleep(3)
            for byte in [] if silent else data[start + 10 : min(stop, start + 100)]:
                time.sleep(0.05)
                handler.wfile.write(bytes([byte]))

    return answer


@contextmanager
def running() -> Iterator[Mirror]:
    """A mirror that answers until the end of the block."""
    with serving(Mirror()) as mirror:
        yield mirror


@contextmanager
def serving(server: S) -> Iterator[S]:
    """The server, which answers until the end of the block."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
