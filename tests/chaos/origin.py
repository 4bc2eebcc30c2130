"""A server on loopback that gives one file, as a good one does or as the network at its worst."""

import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANNERS = ("stops", "resets", "drips", "truncates", "answers 503", "hangs up")
DRIPS, DRIP_SECONDS = 30, 0.05  # pieces of a few bytes, before it stops


class Origin(ThreadingHTTPServer):
    """Gives `data` at /zoo.zip. The next `bad` answers are of one of the MANNERS."""

    daemon_threads = True

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data, self.manner, self.bad = data, MANNERS[0], 0
        self.dice = random.Random(0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/zoo.zip"

    def misbehave(self, manner: str, answers: int, dice: random.Random) -> None:
        """So many answers of that manner, cut where the dice say."""
        self.manner, self.bad, self.dice = manner, answers, dice

    def handle_error(self, *_: object) -> None:
        pass  # who asked was killed

    def shutdown_request(self, request: "socket.socket | tuple[bytes, socket.socket]") -> None:
        self.close_request(request)  # without a FIN before it, which would hide the RST that `_reset` asks for


class _Handler(BaseHTTPRequestHandler):
    server: Origin

    def do_GET(self) -> None:
        data = self.server.data
        first, _, last = (self.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")
        start, stop = int(first), min(len(data), int(last or len(data)) + 1)
        bad = self.server.bad > 0
        self.server.bad -= bad
        manner = self.server.manner if bad else ""
        if manner == "hangs up":
            self._reset()
            return
        if manner == "answers 503" or start >= len(data):
            self._head(503 if bad else 416, 0)
            return
        cut = self.server.dice.randrange(stop - start) if bad else stop - start
        status = 206 if self.headers["Range"] else 200
        self._head(status, cut if manner == "truncates" else stop - start, f"bytes {start}-{stop - 1}/{len(data)}")
        with suppress(OSError):
            if manner == "drips":
                for at in range(start, min(stop, start + DRIPS)):
                    self.wfile.write(data[at : at + 1])
                    time.sleep(DRIP_SECONDS)
            else:
                self.wfile.write(data[start : start + cut])
        if manner == "resets":
            self._reset()
        self.close_connection = True

    def _head(self, status: int, length: int, span: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", '"the same"')
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()

    def _reset(self) -> None:
        """End the connection by RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(data: bytes) -> Iterator[Origin]:
    """The server, which answers until the end of the block."""
    with Origin(data) as origin:
        thread = threading.Thread(target=origin.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield origin
        finally:
            origin.shutdown()
            thread.join()
