"""Where and how to compute: device, precision, seeds, memory, the processes of one training, the pool of processes."""

import ctypes
import multiprocessing
import os
import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from itertools import islice
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ganpipe.errors import UserError

if TYPE_CHECKING:
    import torch

A = TypeVar("A")
B = TypeVar("B")
POOL_PAYS_FROM = 8  # batches: below, starting worker processes takes longer than the work
LOST = ("onnection", "by peer", "remote process", "imed out")
SILENCE = timedelta(minutes=10)  # after which another process is taken for lost: a machine without power says nothing


def choose_device() -> "torch.device":
    """GANPIPE_DEVICE (cpu, cuda, cuda:1) where it is set, else a GPU where there is one, else the CPU.

    Torch is set for it: fp32 is never rounded to TF32, and with GANPIPE_DETERMINISTIC=1 all algorithms repeat.
    """
    import torch

    if os.environ.get("GANPIPE_DETERMINISTIC", "").strip() not in ("", "0"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = False  # fp32 is what it says; who wants it faster takes bf16
    given = os.environ.get("GANPIPE_DEVICE", "").strip()
    wanted = given or ("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda":  # under torchrun each process has a GPU of its own
        wanted = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    refused = UserError(f"GANPIPE_DEVICE={wanted} is no device: use cpu, cuda or cuda:N, or unset it")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise refused from None
    if device.type not in ("cpu", "cuda"):  # torch knows others, which nothing here has run on
        raise refused
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        asked = (
            f"GANPIPE_DEVICE={given}" if given else f"process {wanted.removeprefix('cuda:')} wants a device of its own,"
        )
        raise UserError(f"{asked} but this machine has {torch.cuda.device_count()} usable CUDA devices")
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and graphs are made on the current one
    return device


def choose_precision(wanted: str, device: "torch.device") -> "torch.dtype":
    """The type that convolutions run in: `fp32`, `bf16`, or for `auto` bf16 where the hardware multiplies it natively.

    A CPU without bf16 instructions emulates it, at less than half the speed of fp32.
    """
    import torch

    if wanted == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            capabilities = torch.cpu.get_capabilities()
            native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
        wanted = "bf16" if native else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[wanted]


def keep_freed_memory() -> None:
    """Let glibc keep freed tensors for the next step instead of returning their pages: +15 % training rate on a CPU.

    Without this each activation above a few megabytes is mapped, zeroed page by page and unmapped at every step.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD in malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_threshold, 32 << 20)  # the largest that glibc accepts
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(top_pad, 256 << 20)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads of the CPU, for None as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def world() -> tuple[int, int]:
    """Rank of this process and how many share the work: 0 of 1 outside `torchrun` and its like."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined(device: "torch.device") -> Iterator[None]:
    """Join the other processes of this work, where there are others; a lost one ends this one with a sentence."""
    rank, size = world()
    if size == 1:
        yield
        return
    import torch.distributed as dist
    import torch.distributed.nn  # noqa: F401 (imported later it would hold the group, and its threads, to the very end)

    # Tensors on a GPU go by nccl; small agreements between the hosts, which wait for no GPU, by gloo.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=SILENCE)
    lost = False
    try:
        yield
    except RuntimeError as error:
        # What nccl raises, and what gloo says, when the other end of a connection is gone.
        gone = isinstance(error, dist.DistError) and "invalid usage" not in str(error)
        if not gone and not any(words in str(error) for words in LOST):
            raise
        lost = True
        raise UserError(
            f"process {rank} of {size} lost another one ({str(error).splitlines()[0]}): give the same command again to "
            "continue"
        ) from None
    finally:
        if not lost:  # to leave in good order would wait for the lost one
            dist.destroy_process_group()


def from_the_first(value: A) -> A:
    """The first process's `value`, in every process of this training."""
    if world()[1] == 1:
        return value
    import torch
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, device=torch.device("cpu"))
    return box[0]


def any_of(flag: bool) -> bool:
    """Whether it is so in any process of this training."""
    if world()[1] == 1:
        return flag
    import torch
    import torch.distributed as dist

    flags = torch.tensor(int(flag))
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)


def average_over_processes(tensors: "Sequence[torch.Tensor]") -> None:
    """Replace each, in place, by its mean over the processes of this training."""
    size = world()[1]
    if size == 1 or not tensors:
        return
    import torch
    import torch.distributed as dist

    flat = torch.cat([tensor.detach().flatten().float() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= size
    for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.detach().copy_(mean.view_as(tensor))


def sum_over_processes(tensor: "torch.Tensor") -> "torch.Tensor":
    """Its sum over the processes that share this work."""
    if world()[1] == 1:
        return tensor
    import torch.distributed as dist

    total = tensor.contiguous()
    dist.all_reduce(total)
    return total


def share(count: int) -> slice:
    """Which of `count` things, in order, are this process's: as many as any other's, or one more or less."""
    rank, size = world()
    return slice(rank * count // size, (rank + 1) * count // size)


@contextmanager
def first_speaks() -> Iterator[None]:
    """Let no other process of this work print than the first."""
    if world()[0] == 0:
        yield
        return
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def mix_seed(*parts: int) -> int:
    """One 63-bit seed from several integers, such as a setting's seed and a step: well mixed, the same everywhere.

    Zeros at the end do not count: of (7,) and (7, 0) it is the same.
    """
    import numpy as np

    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def engine() -> str:
    """GANPIPE_ENGINE: where work over many images is done, by processes here (`local`) or on a cluster (`ray`)."""
    name = os.environ.get("GANPIPE_ENGINE", "").strip() or "local"
    if name not in ("local", "ray"):
        raise UserError(f"GANPIPE_ENGINE is {name}: choose local or ray, or unset it")
    return name


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_pool(workers: int, patient: bool = False) -> ProcessPoolExecutor:
    """Processes that end with this one, also where it is killed; `patient` ones leave the cores to all others."""
    # Not forked: torch may already hold locks in threads that a fork would not copy.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (patient,))


def _start(patient: bool) -> None:
    if patient:
        os.nice(19)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def map_batches(work: Callable[[A], B], batches: Iterable[A], count: int) -> Iterator[B]:
    """`work` of each of `count` batches, in order, in a pool with one process per core; a few at a time in memory.

    `work` is a module's function (or a partial of one), so that it can be sent to another process, and with
    GANPIPE_ENGINE=ray to another machine. UserError where a process of the pool is killed.
    """
    if engine() == "ray" and count >= POOL_PAYS_FROM:
        from ganpipe import cluster

        yield from cluster.map_batches(work, batches)
        return
    workers = cores()
    if count < POOL_PAYS_FROM or workers == 1:
        yield from map(work, batches)
        return
    try:
        with process_pool(workers) as pool:
            remaining = iter(batches)
            pending: list[Future[B]] = [pool.submit(work, batch) for batch in islice(remaining, 4 * workers)]
            while pending:
                yield pending.pop(0).result()
                pending.extend(pool.submit(work, batch) for batch in islice(remaining, 1))
    except BrokenProcessPool:
        raise UserError(
            "a process that worked for this one was killed, as the kernel does where memory runs out: free some memory "
            "and run the same command again"
        ) from None
