"""One training shared by two hosts: two network namespaces with a cable between them, each with a torchrun of its own.

Where no namespace can be made, two agents on two addresses of this machine stand for the hosts.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from ganpipe.corpus.shards import Images, write_numbers
from ganpipe.settings import read_params
from support.graph import ROOT
from support.settings import SMALL

STAGE, OUTPUTS = ROOT / "stages/train.py", ("models", "plots", "metrics")
HURRIED = "last_call_timeout=1,keep_alive_interval=1,keep_alive_max_attempt=8"  # torchrun waits half a minute for more
# With the store that agents share otherwise, torch 2.11 tells a host that comes back nothing, and waits for it.
RETURNING = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
OF_NUMBERS = {"network": "mlp1", "normalisation": "none"}  # steps of a millisecond
PATIENCE = 120.0  # seconds, after which a test gives up


class Host:
    """A machine's network: commands that run in it, and its address."""

    def __init__(self, address: str, interface: str, namespace: str | None = None) -> None:
        self.address, self.interface = address, interface
        self._within = ["ip", "netns", "exec", namespace] if namespace else []
        self.log = Path(f"{address}.log")
        self._agent: subprocess.Popen[bytes] | None = None

    def torchrun(self, nodes: str, first: "Host", *options: str) -> None:
        """Start this host's agent, with one process, on the training in this folder; they meet at the `first` one."""
        command = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", "--nproc-per-node=1"]
        meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={first.address}:29400", "--rdzv-id=training"]
        # Both have the name of this machine, by which torchrun would know who is the first.
        meeting += [f"--rdzv-conf={HURRIED},is_host={int(self is first)}"]
        with self.log.open("ab") as log:
            self._agent = subprocess.Popen(
                [*self._within, *command, *meeting, f"--local-addr={self.address}", *options, str(STAGE)],
                env={**os.environ, **RETURNING, "GLOO_SOCKET_IFNAME": self.interface},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def worker(self) -> psutil.Process | None:
        """The process that trains, of the agent that runs."""
        assert self._agent is not None
        for each in psutil.Process(self._agent.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it may end meanwhile
                if str(STAGE) in each.cmdline():
                    return each
        return None

    def wait(self) -> int | None:
        """For the agent's end; its exit status, None where it has none."""
        assert self._agent is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._agent.wait(timeout=PATIENCE)
        return self._agent.returncode

    def die(self) -> None:
        """Agent and process at once, without a word."""
        if self._agent is None or self._agent.poll() is not None:
            return
        for each in [psutil.Process(self._agent.pid), *psutil.Process(self._agent.pid).children(recursive=True)]:
            each.kill()
        self._agent.wait()

    def said(self) -> str:
        return self.log.read_text()


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    names = [f"ganpipe-{os.getpid()}-{letter}" for letter in "ab"]
    made = _cable(names)
    two = (
        (Host("10.99.0.1", "cable", names[0]), Host("10.99.0.2", "cable", names[1]))
        if made
        else (Host("127.0.0.1", "lo"), Host("127.0.0.2", "lo"))
    )
    if not made and sys.platform != "linux":
        pytest.skip("neither network namespaces nor a second address of loopback are to be had")
    yield two
    for host in two:
        host.die()
    for name in names if made else []:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def _cable(names: list[str]) -> bool:
    """Two namespaces of those names, connected; False where that is not allowed or there is no `ip`."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    first, second = names
    lines = [f"netns add {first}", f"netns add {second}"]
    lines += [f"link add cable netns {first} type veth peer name cable netns {second}"]
    for number, name in enumerate(names, start=1):
        lines += [f"-n {name} address add 10.99.0.{number}/24 dev cable"]
        lines += [f"-n {name} link set {device} up" for device in ("lo", "cable")]
    for line in lines:
        if subprocess.run(["ip", *line.split()], check=False, capture_output=True).returncode:
            for name in names:
                subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
            return False
    return True


def project(corpus: Images, monkeypatch: pytest.MonkeyPatch, **train: object) -> None:
    """Settings and images in this folder, on machines without MLflow, where what is told stays in the journal."""
    sections = read_params(ROOT / "params.yaml")
    sections["train"].update({**SMALL, **train})
    Path("params.yaml").write_text(yaml.safe_dump(sections, sort_keys=False))
    Path("data").mkdir()
    Path("data/processed").symlink_to(corpus.folder.absolute())
    Path("bare").mkdir()
    Path("bare/mlflow.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path("bare").absolute()), *sys.path]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def numbers(folder: Path) -> Images:
    """64 of them."""
    folder.mkdir()
    drawn = np.random.default_rng(0).normal(size=(64, 1)).astype(np.float32)
    write_numbers(folder, drawn, {"name": "numbers", "title": "Numbers", "licence": "none"})
    return Images(folder)


def outputs() -> dict[str, bytes]:
    """All files that the stage writes, and moves them out of the way."""
    files = [path for name in OUTPUTS for path in sorted(Path(name).rglob("*")) if path.is_file()]
    found = {str(path): path.read_bytes() for path in files}
    for name in OUTPUTS:
        shutil.rmtree(name)
    return found


def told() -> list[dict[str, Any]]:
    """All that the one run has to tell."""
    (run,) = Path(".ckpt/tracking").iterdir()
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def ticks(events: list[dict[str, Any]]) -> list[int]:
    return [event["row"]["step"] for event in events if event["kind"] == "tick"]


def eventually(look: Callable[[], Any]) -> Any:
    """What it finds, once it finds something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def test_two_hosts_train_the_bytes_of_one(
    hosts: tuple[Host, Host], corpus: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(corpus, monkeypatch, steps=24, average=0.9)
    for host in hosts:
        host.torchrun("2", hosts[0])
    assert [host.wait() for host in hosts] == [0, 0], "\n".join(host.said() for host in hosts)
    ranks = [host.said().count("training: 24/24") for host in hosts]
    assert sorted(ranks) == [0, 1]  # only one of them speaks
    apart = outputs()
    events = told()
    assert ticks(events) == [4, 8, 12, 16, 20, 24]
    assert (events[0]["kind"], events[-1]["status"]) == ("begin", "FINISHED")

    shutil.rmtree(".ckpt")
    one = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(STAGE)]
    subprocess.run(one, check=True, capture_output=True)
    together = outputs()
    assert {name for name in together if name.endswith(".safetensors")}
    assert apart == together


def test_a_training_outlives_a_host_and_takes_it_back(
    hosts: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 300
    project(numbers(Path("numbers")), monkeypatch, steps=steps, tick=5, sample_every=steps, **OF_NUMBERS)
    stays, dies = hosts
    elastic = ("1:2", stays, "--max-restarts=3")
    stays.torchrun(*elastic)
    dies.torchrun(*elastic)
    eventually(checkpoints)
    both = [host.worker() for host in hosts]
    dies.die()
    before = checkpoints()

    # The other one's process finds it gone, and its agent starts one that goes on alone.
    alone = eventually(lambda: (found := stays.worker()) and found not in both and checkpoints() > before and found)
    alone.suspend()  # so that it is not done before the other host is back

    # The host comes back: the agent that stayed asks its process to stop, which saves, and both go on.
    dies.torchrun(*elastic)
    eventually(lambda: _asked_to_stop(alone))
    alone.resume()
    assert [host.wait() for host in hosts] == [0, 0], "\n".join(host.said() for host in hosts)
    said = "\n".join(host.said() for host in hosts)
    assert said.count("continuing at step") == 2, said
    assert said.count(f"training: {steps:,}/{steps:,}") == 1, said
    assert "lost another one" in said and "interrupted: run the same command again to continue" in said
    events = told()
    assert ticks(events) == list(range(5, steps + 1, 5))
    kinds = [event["kind"] for event in events]
    assert (kinds.count("begin"), kinds.count("resume"), events[-1]["status"]) == (1, 2, "FINISHED")
    assert len(Path("plots/train.csv").read_text().splitlines()) == 1 + steps // 5


def checkpoints() -> list[str]:
    """Their names, by step, the newest first."""
    return sorted((path.name for path in Path(".ckpt").glob("train/*/step-*.pt")), reverse=True)


def _asked_to_stop(process: psutil.Process) -> bool:
    """Whether SIGTERM waits for that process, which is suspended."""
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return bool(int(fields["ShdPnd"], 16) >> (signal.SIGTERM - 1) & 1)
