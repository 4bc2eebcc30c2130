"""Fetching a published file of 1 GB from a server on this machine, verified: beside curl, which verifies nothing.

    python benchmarks/fetch.py [--quick] [--json PATH]

The server is a process of its own on the same cores. Figures are of the second of two runs, for memory that is touched
for the first time is slow.
"""

import hashlib
import multiprocessing
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from reporting import arguments, report

from ganpipe.corpus import fetch

SIZE, QUICK = 1_000_000_000, 100_000_000  # bytes


class Handler(BaseHTTPRequestHandler):
    """Gives the file, or a range of it."""

    protocol_version = "HTTP/1.1"
    path_of_file = Path()

    def do_GET(self) -> None:
        size = self.path_of_file.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        start, stop = (int(wanted[1]), int(wanted[2] or size - 1) + 1) if wanted else (0, size)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.end_headers()
        self.wfile.flush()
        with self.path_of_file.open("rb") as file:
            while start < stop and (sent := os.sendfile(self.connection.fileno(), file.fileno(), start, stop - start)):
                start += sent

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """Says nothing of a client that has had enough."""

    def handle_error(self, *_: object) -> None:
        """Nothing."""


def serve(path: Path, port: "multiprocessing.Queue[int]") -> None:
    """For ever."""
    Handler.path_of_file = path
    server = Server(("127.0.0.1", 0), Handler)
    port.put(server.server_port)
    server.serve_forever()


def main() -> None:
    """Measure, print, write."""
    asked = arguments("How fast a published file is fetched")
    size = QUICK if asked.quick else SIZE
    os.environ["NO_PROXY"] = "127.0.0.1"
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder, "published.bin")
        with held.open("wb") as file:
            for start in range(0, size, 1 << 24):
                file.write(os.urandom(min(1 << 24, size - start)))
        with held.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        context = multiprocessing.get_context("spawn")
        ports: multiprocessing.Queue[int] = context.Queue()
        server = context.Process(target=serve, args=(held, ports), daemon=True)
        server.start()
        url, to = f"http://127.0.0.1:{ports.get()}/published.bin", Path(folder, "fetched.bin")
        figures = {"megabytes_per_second": rate(size, to, lambda: fetch.fetch((url,), to, size, md5))}
        if shutil.which("curl"):
            command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--output", str(to), url]
            figures["curl_megabytes_per_second"] = rate(size, to, lambda: subprocess.run(command, check=True))
        server.terminate()
    report(figures, asked.json)


def rate(size: int, to: Path, work: Callable[[], object]) -> float:
    """Megabytes a second of the second of two runs."""
    for _ in range(2):
        to.unlink(missing_ok=True)
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
    return size / seconds / 1e6


if __name__ == "__main__":
    main()
