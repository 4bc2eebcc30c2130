import asyncio
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from ganpipe.demo import protocol
from ganpipe.demo.protocol import Impatient
from ganpipe.demo.server import CONNECTIONS
from support.server import WebServer, free_port

ANSWER = b"HTTP/1.1 200 OK\r\n"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer that comes late where the path is /late, without a look at the request's body."""
    if scope["path"] == "/late":
        await asyncio.sleep(4 * protocol.SECONDS)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Where a server answers that is impatient soon."""
    monkeypatch.setattr(protocol, "SECONDS", 0.2)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = uvicorn.Config(application, http=Impatient, ws="none", lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join()


def asked(line: socket.socket, request: str) -> bytes:
    line.sendall(f"{request}\r\nHost: here\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\nok"):
        answer += (part := line.recv(1000))
        assert part
    return answer


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: here\r\n"])
def test_a_connection_without_a_whole_head_is_closed(place: tuple[str, int], beginning: bytes) -> None:
    with socket.create_connection(place, timeout=20) as line:
        line.sendall(beginning)
        assert line.recv(1) == b""


@pytest.mark.parametrize(
    ("request_", "then"),
    [("GET / HTTP/1.1", b"G"), ("POST / HTTP/1.1\r\nContent-Length: 9", b"x")],
    ids=["head", "body"],
)
def test_it_is_closed_after_an_answer_too_where_a_byte_stops_the_other_timer(
    place: tuple[str, int], request_: str, then: bytes
) -> None:
    with socket.create_connection(place, timeout=20) as line:
        assert asked(line, request_).startswith(ANSWER)
        line.sendall(then)
        assert line.recv(1) == b""


def test_bytes_now_and_then_do_not_hold_it(place: tuple[str, int]) -> None:
    with socket.create_connection(place, timeout=0.05) as line:
        line.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(400):
            try:
                line.sendall(b"a: b\r\n")
                assert line.recv(1) == b""
                return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    raise AssertionError("it is open still")


def test_requests_that_are_answered_are_not_cut(place: tuple[str, int]) -> None:
    with socket.create_connection(place, timeout=60) as line:
        for path in ("/late", "/", "/late"):
            assert asked(line, f"GET {path} HTTP/1.1").startswith(ANSWER)


def test_silent_connections_lock_nobody_out(tmp_path: Path) -> None:
    port = free_port()
    program = "from ganpipe.demo import protocol; protocol.SECONDS = 1; from ganpipe.cli import main; main()"
    server = WebServer([sys.executable, "-c", program, "serve", "--port", str(port)], tmp_path, port, None)
    server.start()
    try:
        with ExitStack() as held:
            lines = [
                held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
                for _ in range(CONNECTIONS)
            ]
            assert [line.recv(1) for line in lines] == [b""] * CONNECTIONS
            assert httpx.get(f"{server.url}/health", trust_env=False).json() == {"ok": True}
    finally:
        server.kill()
