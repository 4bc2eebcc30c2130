"""A real Chromium for pages that are opened as a person opens them: by file://."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on the PATH")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of its own, without a screen."""
    # A software GPU, as machines without a screen have, now and then draws no more frames.
    options = ["--disable-gpu", *(["--no-sandbox"] if os.getuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@contextmanager
def alone(browser: Browser, page: str, **how: Any) -> Iterator[BrowserContext]:
    """A context that remembers nothing yet. At its end: no page has asked for a file but `page`, or had an error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **how)
    asked: list[str] = []
    wrong: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: wrong.append(message.text))
    context.on("dialog", lambda dialog: wrong.append(dialog.message))
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    yield context
    context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert {url.rsplit("/", 1)[1] for url in asked if url.startswith("file:")} <= {page}
