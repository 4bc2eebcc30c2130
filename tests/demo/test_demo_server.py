import io
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from ganpipe.demo.server import serve
from ganpipe.errors import UserError
from support.server import WebServer, free_port
from support.tiny import GANPIPE


def png(pixels: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def test_two_users_at_once_get_each_their_own_picture(server: WebServer, drawn: np.ndarray) -> None:
    drawings = [png(drawn), png(drawn.transpose(1, 0, 2)[::-1])]

    def translated(drawing: bytes) -> bytes:
        answer = httpx.post(f"{server.url}/api/translate?model=facades", content=drawing, timeout=60)
        assert answer.status_code == 200
        return answer.content

    alone = [translated(drawing) for drawing in drawings]
    assert alone[0] != alone[1]
    with ThreadPoolExecutor(2) as users:
        together = list(users.map(translated, drawings * 10))
    assert together == alone * 10


def test_a_crowd_is_served_or_told_to_come_again(server: WebServer) -> None:
    def asked(number: int) -> int:
        answer = httpx.get(f"{server.url}/api/sample?model=some-images&seed={number}&count=64", timeout=60)
        return answer.status_code

    with ThreadPoolExecutor(60) as users:
        statuses = list(users.map(asked, range(120)))
    assert {200} <= set(statuses) <= {200, 503}
    assert httpx.get(f"{server.url}/health").json() == {"ok": True}


def test_it_listens_on_this_machine_alone(server: WebServer) -> None:
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:] + Path("/proc/net/tcp6").read_text().splitlines()[1:]
    places = [line.split()[1] for line in listening if line.split()[3] == "0A"]
    assert [place for place in places if place.endswith(f":{server.port:04X}")] == [f"0100007F:{server.port:04X}"]


def test_it_says_what_it_shows_and_where(server: WebServer) -> None:
    assert server.log.read_text().splitlines() == [
        "some-images: models/gan, a generator of 32x32 pixels",
        "facades: studies/facades/models/gan, a translator of 128x128 pixels",
        f"the page: {server.url} (Ctrl-C ends it)",
    ]


def test_without_a_model_the_page_is_there_and_ctrl_c_ends_it() -> None:
    port = free_port()
    here = WebServer([str(GANPIPE), "serve", "--port", str(port)], Path.cwd(), port, None)
    here.start()
    try:
        assert httpx.get(f"{here.url}/api/models").json()["models"] == []
        assert "make study NAME=facades" in httpx.get(here.url).text
        assert here.process is not None
        here.process.send_signal(signal.SIGINT)
        assert here.process.wait(60) == 0
    finally:
        here.kill()
    assert here.log.read_text().splitlines()[0] == "there is no trained model yet: the page says how to make one"
    assert "Traceback" not in here.log.read_text()


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="cannot be used .*: choose another"):
            serve([], "127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "port", "told"),
    [
        ("127.0.0.1", 0, "--port is 0"),
        ("127.0.0.1", 65536, "--port is 65536"),
        ("no host", 7860, "--host is no host"),
        ("192.0.2.1", 7860, "of 192.0.2.1 cannot be used"),
    ],
)
def test_an_address_that_cannot_be_is_told(host: str, port: int, told: str) -> None:
    with pytest.raises(UserError, match=told):
        serve([], host, port)


@pytest.mark.parametrize("package", ["onnxruntime", "uvicorn", "starlette"])
def test_a_missing_package_is_told(package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from ganpipe.cli import main; main()"
    ended = subprocess.run([sys.executable, "-c", program, "serve"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [ended.stderr.strip()]
    assert f"{package} is not installed" in ended.stderr and "pip install 'ganpipe[demo]'" in ended.stderr
