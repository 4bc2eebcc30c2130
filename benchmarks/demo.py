"""How long a person who draws waits for the picture: from a stroke's end to the picture on the page, after the first.

    python benchmarks/demo.py [--quick] [--json PATH]

The U-Net of pix2pix at width 64 and 256 pixels, with random weights, which take as long as trained ones, behind
`ganpipe serve` on loopback. `api` is a request by itself. `page` is what the page tells of strokes by the mouse, from
a stroke's end to the decoded picture, where a Chromium is on the PATH. The peer, `torch`, is the same network in torch,
by each image's own statistics, in a process that does nothing else.
"""

import io
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import torch
from PIL import Image
from reporting import arguments, report

from ganpipe.models.networks import initialise
from ganpipe.models.patch import PatchDiscriminator
from ganpipe.models.store import save_gan
from ganpipe.models.unet import UNet, translate
from ganpipe.runtime import cores

SIDE, WIDTH = 256, 64
STROKES, QUICK = 40, 8
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def main() -> None:
    """Measure, print, write."""
    asked = arguments("How long the page takes for a stroke")
    strokes = QUICK if asked.quick else STROKES
    network = UNet(WIDTH, "pix2pix256")
    initialise(network, torch.Generator().manual_seed(0))
    labels = np.full((SIDE, SIDE, 3), (0, 48, 255), np.uint8)
    labels[80:160, 80:140] = (0, 128, 255)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path(".dvc").mkdir()
        about = {"train": {"direction": "BtoA", "batch_size": 1}, "corpus": {"name": "facades"}}
        save_gan(Path("models/gan"), {"generator": network, "discriminator": PatchDiscriminator(WIDTH)}, about)
        figures = served(labels, strokes)
        figures |= told("torch", timed(lambda: in_torch(network, labels), strokes))
        os.chdir("/")
    report(figures, asked.json)


def served(labels: np.ndarray, strokes: int) -> dict[str, float]:
    """Of a server of its own: the export, requests, and strokes on the page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([Path(sys.executable).with_name("ganpipe"), "serve", "--port", str(port)])
    try:
        began = time.perf_counter()
        wait_until(lambda: ready(url))
        figures = {"seconds_until_ready": time.perf_counter() - began}
        written = io.BytesIO()
        Image.fromarray(labels).save(written, "PNG")
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:

            def ask() -> None:
                client.post("/api/translate?model=facades", content=written.getvalue()).raise_for_status()

            figures |= told("api", timed(ask, strokes))
        if CHROMIUM is not None:
            figures |= told("page", on_the_page(url, strokes))
    finally:
        server.terminate()
        server.wait()
    return figures


def on_the_page(url: str, strokes: int) -> list[float]:
    """Milliseconds as the page tells them, of one stroke after another, each of which waits for its picture."""
    from playwright.sync_api import sync_playwright

    found = []
    options = ["--disable-gpu", *(["--no-sandbox"] if os.getuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page(viewport={"width": 1280, "height": 1200})
        page.goto(url)
        page.locator("#canvas").wait_for()
        box = page.locator("#canvas").bounding_box()
        assert box is not None  # noqa: S101
        for number in range(strokes + 1):
            before = page.locator("#picture").get_attribute("src")
            at = box["y"] + (0.05 + 0.9 * number / (strokes + 1)) * box["height"]
            page.mouse.move(box["x"] + 20, at)
            page.mouse.down()
            page.mouse.move(box["x"] + 200, at, steps=5)
            page.mouse.up()
            page.wait_for_function("src => document.querySelector('#picture').src !== (src ?? '')", arg=before)
            page.wait_for_function("() => document.querySelector('#status').textContent === 'The picture is new.'")
            milliseconds = re.search(r"(\d+) ms", page.locator("#picture-told").inner_text())
            assert milliseconds is not None  # noqa: S101
            found.append(float(milliseconds[1]))
            page.evaluate("document.querySelector('#status').textContent = ''")
        browser.close()
    return found[1:]


def in_torch(network: UNet, labels: np.ndarray) -> None:
    """The same picture, without any server."""
    torch.set_num_threads(cores())
    images = torch.from_numpy(labels[None]).permute(0, 3, 1, 2).float() / 127.5 - 1
    translate(network, images, "image", dropout=False, seed=0)


def timed(work: Callable[[], None], times: int) -> list[float]:
    """Milliseconds of each call but the first."""
    found = []
    for _ in range(times + 1):
        began = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - began))
    return found[1:]


def told(name: str, milliseconds: list[float]) -> dict[str, float]:
    """The median and the 95th percentile."""
    last = statistics.quantiles(milliseconds, n=20, method="inclusive")[-1]
    return {f"{name}_ms_median": statistics.median(milliseconds), f"{name}_ms_p95": last}


def ready(url: str) -> bool:
    """Whether the server answers with its network."""
    try:
        return all(each["ready"] for each in httpx.get(f"{url}/api/models", trust_env=False).json()["models"])
    except httpx.HTTPError:
        return False


def wait_until(true: Callable[[], bool]) -> None:
    """Asked ten times a second."""
    while not true():
        time.sleep(0.1)


if __name__ == "__main__":
    main()
