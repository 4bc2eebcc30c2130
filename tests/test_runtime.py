import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ganpipe import runtime
from ganpipe.errors import UserError
from support.work import fail, process_of, square


@pytest.mark.parametrize("count", [1, 3, 60])
def test_batches_come_back_in_order(count: int) -> None:
    assert list(runtime.map_batches(square, iter(range(count)), count)) == [value**2 for value in range(count)]


def test_many_batches_are_spread_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    assert os.getpid() not in set(runtime.map_batches(process_of, range(60), 60))


PARENT = """
import time
from ganpipe import runtime
if __name__ == "__main__":
    pool = runtime.process_pool(1)
    print(pool.submit(__import__("os").getpid).result(), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = Path("/proc", parent.stdout.readline().strip())
        assert worker.exists()
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 20
    while worker.exists() and worker.joinpath("stat").read_text().split()[2] != "Z":
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("count", [1, 60])
def test_a_failure_in_a_worker_reaches_the_caller(count: int) -> None:
    with pytest.raises(ValueError, match="batch 0"):
        list(runtime.map_batches(fail, range(count), count))


def test_an_unknown_engine_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANPIPE_ENGINE", "spark")
    with pytest.raises(UserError, match="GANPIPE_ENGINE is spark: choose local or ray"):
        list(runtime.map_batches(square, range(60), 60))


def test_a_worker_that_is_killed_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    with pytest.raises(UserError, match="was killed, as the kernel does where memory runs out"):
        list(runtime.map_batches(signal.raise_signal, [signal.SIGKILL] * 60, 60))


@pytest.mark.parametrize("wanted", ["gpu", "cuda:99", "cpu:x", "meta", "mps"])
def test_an_impossible_device_gets_a_sentence(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANPIPE_DEVICE", wanted)
    with pytest.raises(UserError, match=f"GANPIPE_DEVICE={wanted}"):
        runtime.choose_device()


def test_the_cpu_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANPIPE_DEVICE", "cpu")
    assert runtime.choose_device() == torch.device("cpu")


@pytest.mark.parametrize("wanted", ["", "cpu"])
def test_fp32_is_never_rounded_to_tf32(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANPIPE_DEVICE", wanted)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    runtime.choose_device()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_precision_is_what_was_asked_or_what_the_hardware_has() -> None:
    cpu = torch.device("cpu")
    assert runtime.choose_precision("fp32", cpu) == torch.float32
    assert runtime.choose_precision("bf16", cpu) == torch.bfloat16
    native = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert runtime.choose_precision("auto", cpu) == (torch.bfloat16 if native else torch.float32)


def test_mixed_seeds_differ_and_stay() -> None:
    seeds = {runtime.mix_seed(seed, step) for seed in range(30) for step in range(30)}
    assert len(seeds) == 900
    assert runtime.mix_seed(0, 1, 2) == 1535930435702422785  # a checkpoint made elsewhere must find the same noise
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(("said", "expected"), [("1", True), ("0", False), ("", False)])
def test_deterministic_algorithms_are_for_who_asks(said: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANPIPE_DETERMINISTIC", said)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")  # the user's own stays
    monkeypatch.setenv("GANPIPE_DEVICE", "cpu")
    try:
        runtime.choose_device()
        assert torch.are_deterministic_algorithms_enabled() == expected
    finally:
        torch.use_deterministic_algorithms(False)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
