"""A proxy before a server on this machine that spoils answers as networks and busy stores do."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Fault = Callable[[str, str, int], str]  # of method, path and how often that was asked for: "" or what happens to it
FAULTS = ("busy", "reset", "truncated", "silent")
DROPPED = ("connection", "transfer-encoding", "keep-alive", "server", "date")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Proxy"

    def do_GET(self) -> None:
        fault = self.server.asked(self.command, self.path, self.headers.get("Range"))
        self.close_connection = True
        if fault == "busy":
            body = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
            self._answer(500, {"Content-Type": "application/xml", "Content-Length": str(len(body))}, body)
            return
        status, headers, body = self._forwarded()
        if not fault:
            self._answer(status, headers, body)
            return
        self._answer(status, headers, body[: len(body) // 2])
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif fault == "silent":
            self.server.ended.wait(20)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _forwarded(self) -> tuple[int, dict[str, str], bytes]:
        behind = http.client.HTTPConnection(*self.server.behind, timeout=20)
        try:
            behind.request(self.command, self.path, headers=dict(self.headers))
            answer = behind.getresponse()
            body = answer.read()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in DROPPED}
            return answer.status, {"Content-Length": str(len(body)), **headers}, body
        finally:
            behind.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(OSError):  # who asked has hung up
                self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Proxy(ThreadingHTTPServer):
    """`requests` has method, path and Range of each; a `fault` that is set later holds from then on."""

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        there = urlsplit(behind)
        assert there.hostname is not None and there.port is not None
        self.behind = (there.hostname, there.port)
        self.fault: Fault = lambda method, path, count: ""
        self.requests: list[tuple[str, str, str | None]] = []
        self.ended = threading.Event()
        self._lock = threading.Lock()

    def asked(self, method: str, path: str, part: str | None) -> str:
        """What happens to this request."""
        with self._lock:
            self.requests.append((method, path, part))
            count = sum(each == (method, path, part) for each in self.requests)
        return self.fault(method, path, count)


@contextmanager
def flaky(behind: str) -> Iterator[Proxy]:
    """A proxy before that address, until the end of the block."""
    with Proxy(behind) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.ended.set()
            proxy.shutdown()
            thread.join()
