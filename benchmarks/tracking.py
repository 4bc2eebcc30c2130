"""What tracking costs a training, with a tick of a second; and how long a store of 100 runs keeps people waiting.

    python benchmarks/tracking.py [--quick] [--json PATH]

Two stores: SQLite, and an MLflow server on this machine behind a relay that holds back each piece of an answer for 50
ms. The cost is the processor's time of all that is not the training itself, noting and delivering, as a share of the
training's; loading MLflow, once a run, stands by itself. The peer is MLflow's own way: `mlflow.log_metrics` and
`mlflow.log_image` in the loop, of the same rows and pictures, whose time the training waits for.
"""

import asyncio
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import numpy as np
from PIL import Image
from reporting import arguments, report

from ganpipe.tracking import delivery
from ganpipe.tracking.run import Run, track
from ganpipe.tracking.sync import sync

ROOT = Path(__file__).resolve().parent.parent
LATENCY, RUNS = 0.05, 100  # seconds; trainings in the store
TICKS, QUICK = 60, 10  # of a second each
SAMPLES = 10  # ticks between two pictures
FIGURES = ("loss_d", "loss_g", "real_accuracy", "fake_accuracy", "gradient_d", "gradient_g", "saturated")


def main() -> None:
    """Measure, print, write."""
    asked = arguments("What tracking costs")
    ticks = QUICK if asked.quick else TICKS
    figures: dict[str, float] = {"import_ganpipe_seconds": imported()}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path(".dvc").mkdir()
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        levels = np.random.default_rng(0).integers(0, 256, (530, 530, 3), np.uint8)
        Image.fromarray(levels).save("samples.png")
        began = time.process_time()
        import mlflow

        figures["load_mlflow_seconds"] = time.process_time() - began
        mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
        shutil.copy("mlflow.db", "server.db")
        with_server = {"sqlite": "", "server": served(Path(folder))}
        for name, uri in with_server.items():
            os.environ["MLFLOW_TRACKING_URI"] = uri
            figures |= {f"{name}_{figure}": value for figure, value in cost(ticks).items()}
            figures[f"{name}_mlflow_itself_share"] = itself(mlflow, uri or f"sqlite:///{folder}/mlflow.db", ticks)
            os.environ["MLFLOW_TRACKING_URI"] = ""
        if not asked.quick:
            fill(RUNS)
            began = time.perf_counter()
            sync()
            figures["sync_seconds_at_100_runs"] = time.perf_counter() - began
            figures["compare_seconds_at_100_runs"] = compared()
        os.chdir("/")
    report(figures, asked.json)


def compared() -> float:
    """Of `ganpipe compare` of two of the trainings, as typed: a new process that writes the page."""
    began = time.perf_counter()
    subprocess.run(
        [Path(sys.executable).with_name("ganpipe"), "compare", "training 1", "training 2"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def imported() -> float:
    """Of a new interpreter, less that of one that imports nothing; the best of five."""

    def seconds(program: str) -> float:
        found = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            found.append(time.perf_counter() - began)
        return min(found)

    return seconds("import ganpipe") - seconds("pass")


def rows(ticks: int) -> Any:
    """As a training gives them: a row a second, and now and then a picture."""
    for tick in range(ticks):
        yield {"step": tick, **dict.fromkeys(FIGURES, tick / 7)}, tick % SAMPLES == 0


def cost(ticks: int) -> dict[str, float]:
    """Shares of the time: noting, which the work waits for, and delivering, beside it."""
    spent = {"noting": 0.0, "delivering": 0.0}

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*given: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*given, **named)
            finally:
                spent[name] += time.thread_time() - began

        return timing

    with (
        patch.object(Run, "tick", counted("noting", Run.tick)),
        patch.object(Run, "picture", counted("noting", Run.picture)),
        patch.object(delivery.Delivery, "all", counted("delivering", delivery.Delivery.all)),
        track("train", {}, name="cost") as run,
    ):
        time.sleep(3)  # the store is found, and the run made
        spent.update(noting=0.0, delivering=0.0)
        began = time.perf_counter()
        for row, picture in rows(ticks):
            run.tick(row)
            if picture:
                run.picture("samples", Path("samples.png"), int(row["step"]))
            time.sleep(max(0.0, began + row["step"] + 1 - time.perf_counter()))
        lasted = time.perf_counter() - began
    return {f"{name}_share": seconds / lasted for name, seconds in spent.items()}


def itself(mlflow: Any, uri: str, ticks: int) -> float:
    """The share of the time that a training waits for MLflow's own functions."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("itself")
    waited = 0.0
    with mlflow.start_run():
        for row, picture in rows(ticks):
            began = time.perf_counter()
            mlflow.log_metrics({name: row[name] for name in FIGURES}, step=int(row["step"]))
            if picture:
                with Image.open("samples.png") as image:
                    mlflow.log_image(image.copy(), key="samples", step=int(row["step"]))
            waited += time.perf_counter() - began
    return waited / ticks


def served(folder: Path) -> str:
    """The address of a server behind the relay; both are gone with this process."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    store = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", "artefacts"]
    place = ["--host", "127.0.0.1", "--port", str(ports[0]), "--workers", "1"]
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "mlflow", "server", *store, *place]
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    import atexit
    import signal

    atexit.register(lambda: os.killpg(server.pid, signal.SIGKILL))
    multiprocessing.get_context("fork").Process(target=relay, args=ports, daemon=True).start()
    url = f"http://127.0.0.1:{ports[1]}"
    for _ in range(600):
        try:
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return url
        except httpx.HTTPError:
            time.sleep(0.1)
    raise TimeoutError("the server does not answer")


def relay(to: int, port: int) -> None:
    """Pass on what comes, and each piece of an answer after a while."""

    async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter, wait: float) -> None:
        while data := await source.read(1 << 16):
            await asyncio.sleep(wait)
            sink.write(data)
            await sink.drain()
        sink.close()

    async def connection(asking: asyncio.StreamReader, answering: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(pipe(asking, back, 0), pipe(there, answering, LATENCY), return_exceptions=True)

    async def run() -> None:
        server = await asyncio.start_server(connection, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(run())


def fill(count: int) -> None:
    """Trainings in the SQLite store, with settings, curves and figures."""
    for number in range(count):
        with track("train", {"processed": str(number)}, name=f"training {number}") as run:
            for row, _ in rows(20):
                run.tick(row)
            run.metrics({"cifar10/accuracy": number / count})


if __name__ == "__main__":
    main()
