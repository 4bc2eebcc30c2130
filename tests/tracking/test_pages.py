"""What a browser is shown that has never seen MLflow's pages."""

import asyncio
import os
import shutil
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from ganpipe.tracking import pages
from support.browser import chromium, needs_chromium
from support.server import WebServer, free_port

PAGE = b"<!doctype html><html><head><title>MLflow</title></head><body></body></html>"


def get(path: str, method: str = "GET") -> tuple[dict[bytes, bytes], bytes, dict[bytes, bytes]]:
    """Headers and body of the answer to it, and the headers that the app was asked with."""
    asked: dict[bytes, bytes] = {}
    sent: list[MutableMapping[str, Any]] = []

    async def app(scope: pages.Scope, receive: pages.Receive, send: pages.Send) -> None:
        asked.update(scope["headers"])
        body = PAGE if method == "GET" else b""
        headers = [(b"content-length", str(len(PAGE)).encode()), (b"ETag", b"1"), (b"x-frame-options", b"SAMEORIGIN")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body[:30], "more_body": True})
        await send({"type": "http.response.body", "body": body[30:]})

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": [(b"if-none-match", b"1"), (b"host", b"a")]}

    async def ask() -> None:
        await pages.choosing(app)(scope, receive, send)

    asyncio.run(ask())
    return dict(sent[0]["headers"]), b"".join(message["body"] for message in sent[1:]), asked


def test_the_first_page_makes_the_choices_and_keeps_its_guards() -> None:
    headers, body, asked = get("/")
    assert body == PAGE.replace(b"<head>", b"<head>" + pages.script())
    assert headers == {b"content-length": str(len(body)).encode(), b"x-frame-options": b"SAMEORIGIN"}
    assert asked == {b"host": b"a"}  # never "not modified"
    assert get("/", "HEAD")[1] == b""


def test_all_else_is_as_it_is() -> None:
    headers, body, asked = get("/static-files/a.html")
    assert body == PAGE
    assert headers[b"ETag"] == b"1"
    assert asked[b"if-none-match"] == b"1"


@needs_chromium
def test_a_browser_is_shown_the_pages_for_training_and_nothing_over_them(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, "mlflow.db")
    Path(".dvc").mkdir()
    known = tmp_path / "known" / "pages_of_a_test-0.dist-info"  # where this ganpipe was installed without them
    known.mkdir(parents=True)
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: pages-of-a-test\nVersion: 0\n")
    (known / "entry_points.txt").write_text(f"[mlflow.app]\n{pages.APP} = ganpipe.tracking.pages:create_app\n")
    port = free_port()
    path = f"{known.parent}:{os.environ.get('PYTHONPATH', '')}"
    ganpipe = str(Path(sys.executable).with_name("ganpipe"))
    server = WebServer([ganpipe, "ui", "--port", str(port)], tmp_path, port, {**os.environ, "PYTHONPATH": path})
    try:
        server.start()
        with chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(server.url)
            expect(page.get_by_text("Recent Experiments")).to_be_visible(timeout=60_000)
            assert page.get_by_text("Model registry").count() == 1  # in the menu for training only
            assert page.get_by_placeholder("Ask a question").count() == 0
            assert page.get_by_text("telemetry").count() == 0
            # Who chooses otherwise keeps that.
            page.get_by_role("button", name="GenAI").click()
            page.reload()
            expect(page.get_by_text("AI Gateway").first).to_be_visible(timeout=60_000)
            assert page.evaluate("localStorage.getItem('mlflow.workflowType_v1')") == '"genai"'
    finally:
        server.kill()
