"""A few rounds of a hostile day, so that the script stays alive, and what it judges by."""

import os
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from chaos.chaos import HAZARDS, blemishes, drawn
from chaos.ground import POINT, Done, Store, tracked
from chaos.hazards import HARMS, READ_BY, _harm
from chaos.origin import MANNERS, serving

SCRIPT = Path(__file__).with_name("chaos.py")
FAILED = "ERROR: failed to reproduce 'train': failed to run: python stages/train.py, exited with"


def test_three_rounds_end_as_undisturbed_or_in_a_sentence() -> None:
    command = [sys.executable, str(SCRIPT), "--rounds", "3", "--until", "download", "--only", "network", "file"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VIOLATION" not in done.stdout
    harmed = re.search(r"^all +(\d+)", done.stdout, re.MULTILINE)
    assert harmed is not None and int(harmed[1]) == 3, done.stdout


def test_a_stage_that_there_is_not_is_named_before_anything_runs() -> None:
    command = [sys.executable, str(SCRIPT), "--rounds", "0", "--until", "trian", "--only", "network"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "invalid choice: 'trian'" in done.stderr


def test_what_is_ended_early_leaves_no_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--rounds", "1", "--until", "download", "--only", "network"]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        while process.poll() is None and not list(tmp_path.glob("ganpipe-chaos-*/project")):
            time.sleep(0.05)
        process.terminate()
    assert process.returncode == 143
    assert not list(tmp_path.iterdir())


def test_fifty_rounds_have_every_hazard_and_every_kind_of_file() -> None:
    rounds = [drawn(HAZARDS, 0, number) for number in range(100)]
    for start in (0, 50):
        assert Counter(name for name, _ in rounds[start : start + 50]) == {
            n: count for n, (_, count) in HAZARDS.items()
        }
    turns = [turn for name, turn in rounds[:50] if name == "file"]
    assert {turn % len(READ_BY) for turn in turns} == set(range(len(READ_BY)))
    assert {turn % len(MANNERS) for name, turn in rounds[:50] if name == "network"} == set(range(len(MANNERS)))


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (f"error: the corpus is damaged\n{FAILED} 1", "error: the corpus is damaged"),
        (f"{FAILED} 1", ""),
        (f"{FAILED} 139", ""),
        (f"{FAILED} -9", f"{FAILED} -9"),  # as the one who killed it wanted
        (f"{FAILED} 137", f"{FAILED} 137"),
        ("ERROR: [Errno 28] No space left on device", "ERROR: [Errno 28] No space left on device"),
    ],
)
def test_that_a_stage_failed_is_no_sentence(said: str, sentence: str) -> None:
    done = Done(1, said, 0.0)
    assert done.sentence == sentence
    assert bool(blemishes(done)) == (sentence == "")


def test_runs_and_points_that_are_there_twice_are_seen(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        store.execute("create table runs (run_uuid, status, lifecycle_stage)")
        store.execute("create table tags (run_uuid, key, value)")
        store.execute("create table metrics (run_uuid, key, step)")
        for run, status, steps in (("a", "FINISHED", [10, 20, 20]), ("b", "FINISHED", [10, 20]), ("c", "RUNNING", [])):
            store.execute("insert into runs values (?, ?, 'active')", [run, status])
            store.execute("insert into tags values (?, 'ganpipe.key', 'one')", [run])
            store.executemany("insert into metrics values (?, ?, ?)", [(run, POINT, step) for step in steps])
        store.commit()
    assert tracked(tmp_path / "mlflow.db") == Store({"one": [[10, 20, 20], [10, 20]]}, 1)


@pytest.mark.parametrize("how", HARMS)
def test_a_file_comes_to_harm_or_it_is_told_that_it_did_not(how: str, tmp_path: Path) -> None:
    path, empty = tmp_path / "file", tmp_path / "empty"
    path.write_bytes(bytes(100))
    empty.touch()
    assert _harm(path, how, random.Random(0))
    assert not path.exists() or path.read_bytes() != bytes(100)
    assert _harm(empty, how, random.Random(0)) == (how == "deleted")


@pytest.mark.parametrize("manner", MANNERS)
def test_a_server_at_its_worst_is_met_by_whoever_asks(manner: str) -> None:
    data = bytes(range(256)) * 1000
    with serving(data) as origin, httpx.Client(trust_env=False) as client:
        origin.misbehave(manner, 1, random.Random(0))
        if manner in ("resets", "hangs up"):
            with pytest.raises(httpx.ReadError):  # and no RemoteProtocolError, which an orderly end would be
                client.get(origin.url)
        elif manner == "answers 503":
            assert client.get(origin.url).status_code == 503
        elif manner == "truncates":
            assert len(client.get(origin.url).content) < len(data)
        else:
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(origin.url)
        assert origin.bad == 0
        assert client.get(origin.url).content == data
