import argparse
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
import numpy as np
import pytest
import torch
from models.test_theano import released

from ganpipe.cli import parser
from ganpipe.corpus.shards import write_pixels
from ganpipe.models.norm import BatchNorm
from ganpipe.models.store import load_discriminator
from support.command import ganpipe

GANPIPE = Path(sys.executable).with_name("ganpipe")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_every_command_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    subcommands = next(each for each in parser()._actions if isinstance(each, argparse._SubParsersAction))
    assert {"check", "doctor", "compare", "dedupe", "sample", "serve"} <= set(subcommands.choices)
    assert [told.dest for told in subcommands._choices_actions if told.help] == list(subcommands.choices)
    for name in subcommands.choices:
        with pytest.raises(SystemExit) as ended:
            parser().parse_args([name, "--help"])
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: ganpipe {name} ")


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
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "http://ben:secret@127.0.0.1:9"}
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
        f"which training is better: {here}/#/experiments/{experiment}/runs?workflowType=machine_learning"
        "&viewStateShareKey=ganpipe",
    ]


def imported(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return ganpipe("import-theano", *arguments)


def test_the_authors_weights_get_their_statistics_from_the_images_of_a_split(tmp_path: Path) -> None:
    released(tmp_path / "svhn")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), np.uint8)
    pixels[40:] //= 8
    splits = {"train": [0, 40], "test": [40, 60]}
    for name, rows, about in (("whole", slice(60), {"splits": splits}), ("train", slice(40), {})):
        (tmp_path / name).mkdir()
        write_pixels(
            tmp_path / name, [pixels[rows]], len(pixels[rows]), None, {"name": name, "resize": "bilinear", **about}
        )
    statistics = []
    for images in ("whole:train", "train", "whole"):
        done = imported(str(tmp_path / "svhn"), "--images", str(tmp_path / images), "--out", str(tmp_path / "out"))
        assert done.returncode == 0, done.stderr
        found = load_discriminator(tmp_path / "out", torch.device("cpu"))
        statistics.append(torch.cat([norm.mean for norm in found.norms if isinstance(norm, BatchNorm)]))
    assert torch.equal(statistics[0], statistics[1])
    assert not torch.allclose(statistics[0], statistics[2])
    done = imported(str(tmp_path / "svhn"), "--images", f"{tmp_path / 'whole'}:valid", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path / 'whole'} has no split 'valid'\n")
