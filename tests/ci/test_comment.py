"""`make ci-comment` against servers that keep what GitHub's and GitLab's documents say they keep."""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from support.graph import ROOT

TOKEN = "a-token"
PICTURE = b"\x89PNG\r\n\x1a\n\r\n--not the border--\x00"
REPORT = """## `1234abcd` against `main`

| base, A | new, B |
| --- | --- |
| ![base-samples.png](report/base-samples.png) | ![gone.png](report/gone.png) |
"""
Answer = tuple[int, Any]


class Forge:
    """What a server of either kind keeps, and what it was asked."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.blobs: list[bytes] = []
        self.refs: dict[str, str] = {}
        self.asked: list[str] = []
        self.may_write_contents = True

    def github(self, method: str, path: str, value: Any) -> Answer:
        path = path.removeprefix("/repos/owner/name/")
        if path.startswith("git/"):
            return self.git(method, path, value) if self.may_write_contents else (403, {"message": "no"})
        if method == "GET":
            page = int(path.rpartition("=")[2])
            return 200, self.comments[100 * (page - 1) : 100 * page]
        if method == "POST" and path == "issues/7/comments":
            self.comments.append({"id": len(self.comments), "user": {"type": "Bot"}, "body": value["body"]})
            return 201, {"html_url": f"comment {len(self.comments) - 1}"}
        number = int(re.fullmatch(r"issues/comments/(\d+)", path)[1])  # type: ignore[index]
        self.comments[number]["body"] = value["body"]
        return 200, {"html_url": f"comment {number}"}

    def git(self, method: str, path: str, value: Any) -> Answer:
        if path == "git/blobs":
            self.blobs.append(base64.b64decode(value["content"]))
            return 201, {"sha": f"blob{len(self.blobs)}"}
        if path == "git/trees":
            return 201, {"sha": "tree of " + " ".join(entry["path"] for entry in value["tree"])}
        if path == "git/commits":
            return 201, {"sha": f"commit{len(self.blobs)}"}
        if method == "PATCH":
            ref = f"refs/{path.removeprefix('git/refs/')}"
            if ref not in self.refs or not value["force"]:  # the commits have no parents: none follows another
                return 422, {"message": "Reference does not exist"}
            self.refs[ref] = value["sha"]
            return 200, {}
        if value["ref"] in self.refs:
            return 422, {"message": "Reference already exists"}
        self.refs[value["ref"]] = value["sha"]
        return 201, {}

    def gitlab(self, method: str, path: str, value: Any) -> Answer:
        path = path.removeprefix("/projects/3/")
        if path == "/user":
            return 200, {"id": 42}
        if path == "uploads":
            head, _, rest = value.partition(b"\r\n\r\n")
            border = head.split(b"\r\n")[0]
            assert b'name="file"; filename="base-samples.png"' in head
            self.blobs.append(rest.removesuffix(b"\r\n" + border + b"--\r\n"))
            return 201, {"url": "/uploads/abc/base-samples.png"}
        if method == "GET":
            page = int(path.rpartition("=")[2])
            return 200, self.comments[100 * (page - 1) : 100 * page]
        if method == "POST":
            self.comments.append({"id": len(self.comments), "author": {"id": 42}, "body": value["body"]})
            return 201, {}
        self.comments[int(path.rpartition("/")[2])]["body"] = value["body"]
        return 200, {}


@contextmanager
def serving(forge: Forge, answer: Callable[[str, str, Any], Answer]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            forge.asked.append(f"{self.command} {self.path}")
            allowed = TOKEN in (self.headers.get("PRIVATE-TOKEN"), self.headers.get("Authorization", "")[7:])
            value = json.loads(body) if self.headers["Content-Type"] == "application/json" and body else body
            status, said = answer(self.command, self.path, value) if allowed else (401, {})
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def comment(**environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "GITLAB_", "CI_"))}
    return subprocess.run(
        [sys.executable, "-I", str(ROOT / "ci/comment.py")],
        capture_output=True,
        text=True,
        check=False,
        env={**kept, **environment},
    )


def on_github(address: str, token: str = TOKEN) -> dict[str, str]:
    return {
        "GITHUB_API_URL": address,
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_TOKEN": token,
        "PULL_REQUEST": "7",
    }


def write_report(text: str = REPORT) -> None:
    Path("report").mkdir(exist_ok=True)
    Path("report/base-samples.png").write_bytes(PICTURE)
    Path("report.md").write_text(text)


def test_a_second_report_takes_the_place_of_the_first_on_github() -> None:
    forge = Forge()
    forge.comments = [{"id": number, "user": {"type": "User"}, "body": "talk"} for number in range(150)]
    forge.comments[3]["body"] = "<!-- make ci-comment -->\nanother's"
    with serving(forge, forge.github) as address:
        write_report()
        assert comment(**on_github(address)).stdout == "comment 150\n"
        write_report(REPORT.replace("1234abcd", "5678"))
        assert comment(**on_github(address)).stdout == "comment 150\n"
    assert len(forge.comments) == 151
    assert "`5678`" in forge.comments[150]["body"]
    assert forge.comments[3]["body"].endswith("another's")


def test_pictures_are_files_of_a_ref_of_their_own_on_github() -> None:
    forge = Forge()
    with serving(forge, forge.github) as address:
        write_report()
        comment(**on_github(address))
        comment(**on_github(address))
    assert forge.blobs == [PICTURE, PICTURE]
    assert forge.refs == {"refs/ganpipe/pull-7": "commit2"}
    place = "https://github.example/owner/name/blob/commit2/base-samples.png?raw=true"
    assert f"| ![]({place}) |  |" in forge.comments[0]["body"]


def test_without_leave_to_write_contents_the_report_comes_without_pictures() -> None:
    forge = Forge()
    forge.may_write_contents = False
    with serving(forge, forge.github) as address:
        write_report()
        assert comment(**on_github(address)).returncode == 0
    assert "report/" not in forge.comments[0]["body"]
    assert "in the job's artifacts" in forge.comments[0]["body"]


def test_a_second_report_takes_the_place_of_the_first_on_gitlab_with_pictures() -> None:
    forge = Forge()
    forge.comments = [{"id": 0, "author": {"id": 1}, "body": "<!-- make ci-comment -->\nanother's"}]
    with serving(forge, forge.gitlab) as address:
        write_report()
        environment = {
            "CI_API_V4_URL": address,
            "CI_PROJECT_ID": "3",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_PROJECT_URL": "https://gitlab.example/owner/name",
            "GITLAB_TOKEN": TOKEN,
        }
        for _ in range(2):
            done = comment(**environment)
            assert done.stdout == "https://gitlab.example/owner/name/-/merge_requests/7\n", done.stderr
    assert forge.blobs == [PICTURE, PICTURE]
    assert len(forge.comments) == 2
    assert "| ![](/uploads/abc/base-samples.png) |  |" in forge.comments[1]["body"]
    assert forge.asked[-1] == "PUT /projects/3/merge_requests/7/notes/1"


def test_a_report_too_long_for_a_comment_is_cut() -> None:
    forge = Forge()
    with serving(forge, forge.github) as address:
        write_report("x" * 100_000)
        comment(**on_github(address))
    assert len(forge.comments[0]["body"]) <= 65_536
    assert forge.comments[0]["body"].endswith("have all of it.)\n")


def test_links_and_what_is_no_picture_are_not_sent() -> None:
    """The change's own code wrote them, and the job that sends them holds a token."""
    Path("secret").write_text(TOKEN)
    Path("secret.png").write_bytes(PICTURE)
    forge = Forge()
    with serving(forge, forge.github) as address:
        write_report("![a](report/a.png) ![b](report/b.png) ![c](report/base-samples.png)")
        Path("report/a.png").write_text(TOKEN)
        Path("report/b.png").symlink_to("../secret.png")
        comment(**on_github(address))
        assert forge.blobs == [PICTURE]
        Path("report.md").unlink()
        Path("report.md").symlink_to("secret")
        assert "report.md is a link" in comment(**on_github(address)).stderr
    assert not any(TOKEN in each["body"] for each in forge.comments)


def test_mistakes_get_a_sentence() -> None:
    assert "there is no report.md" in comment(GITHUB_REPOSITORY="owner/name").stderr
    write_report()
    assert "this is no job of a pull request" in comment().stderr
    assert "PULL_REQUEST is not set" in comment(GITHUB_REPOSITORY="owner/name").stderr
    forge = Forge()
    with serving(forge, forge.github) as address:
        done = comment(**on_github(address, token="another"))
    assert done.returncode == 1
    assert "answers 401 Unauthorized" in done.stderr and "Traceback" not in done.stderr
    assert "no answer (" in comment(**on_github(address)).stderr  # the server is gone


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 200 OK\r\n\r\n<html>sign in</html>"])
def test_a_server_that_hangs_up_or_gives_a_page_gets_a_sentence(answer: bytes) -> None:
    write_report()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            asking, _ = server.accept()
            with asking:
                asking.recv(1 << 16)
                asking.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        done = comment(**on_github(f"http://127.0.0.1:{server.getsockname()[1]}"))
    assert done.returncode == 1 and "no answer (" in done.stderr and "Traceback" not in done.stderr
