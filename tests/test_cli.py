import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow

from support.graph import ROOT

GANPIPE = Path(sys.executable).with_name("ganpipe")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_port_in_use_gets_a_sentence() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        done = subprocess.run([GANPIPE, "ui", "--port", str(port)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"error: port {port} cannot be used (Address already in use): choose another: make ui PORT=5001\n"
    )


def test_a_server_of_ones_own_is_pointed_to() -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = subprocess.run([GANPIPE, "ui"], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, "MLFLOW_TRACKING_URI is set: the pages are at http://127.0.0.1:9\n")


def test_ui_serves_mlflow_on_loopback_and_names_the_page_that_compares(empty_store: Path) -> None:
    Path(".dvc").mkdir()
    shutil.copy(empty_store, "mlflow.db")
    experiment = mlflow.MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db").create_experiment("ganpipe")
    here = f"http://127.0.0.1:{(port := free_port())}"
    with Path("said").open("w") as said:
        server = subprocess.Popen([GANPIPE, "ui", "--port", str(port)], start_new_session=True, stdout=said)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"{here}/health", timeout=5) as answer:
                    assert answer.read() == b"OK"
                    break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.5)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    assert Path("said").read_text().splitlines()[:2] == [
        f"MLflow: {here} (Ctrl-C ends it)",
        f"which training is better: {here}/#/experiments/{experiment}/runs?viewStateShareKey=ganpipe",
    ]


def check(text: str) -> subprocess.CompletedProcess[str]:
    Path("params.yaml").write_text(text)
    return subprocess.run([GANPIPE, "check"], capture_output=True, text=True, check=False)


def test_check_accepts_the_shipped_settings_and_finds_a_fault_in_any_section() -> None:
    shipped = (ROOT / "params.yaml").read_text()
    assert check(shipped).returncode == 0
    late = check(shipped.replace("  tolerance: 0.001", "  tolerance: 2"))
    assert late.returncode == 1
    assert late.stderr == "error: params.yaml: evaluate.tolerance: input should be less than 1, not 2\n"
    several = check(shipped.replace("  tolerance: 0.001", "  tolerance: 2").replace("  radius: 0 ", "  radius: -1 "))
    assert [line.split(":")[2].strip() for line in several.stderr.splitlines()] == [
        "dedupe.radius",
        "evaluate.tolerance",
    ]
    stray = check(shipped + "\nanalyse:\n  walks: 3\n")
    assert stray.stderr.startswith("error: params.yaml: no stage reads the section analyse; the stages are download,")
