"""Fetching 10,000 images from a list of addresses into tar shards: beside img2dataset, and through a kill.

    python benchmarks/scrape.py [--quick] [--json PATH]

Fifty hosts on this machine (127.0.0.1 to 127.0.0.50, all one process) give JPEGs of 500 x 375; one address in twenty
fails: 404, 503, a connection that breaks off, a page instead of an image. Ours keeps all its manners; the hosts allow
1,000 requests a second. img2dataset, which is installed into `.ckpt/benchmarks` once, either decodes and encodes each
image anew (`encoded`, as it comes), or decodes it and keeps its bytes, as ours does (`decoded`), or keeps whatever came
(`unseen`). Seconds are of the whole command, imports included; memory is the sum over its processes. Figures are
medians of three runs, taken in turn; --quick has one run, of 1,000 addresses.
"""

import asyncio
import ctypes
import io
import json
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
from PIL import Image
from reporting import arguments, report

from ganpipe import files

ADDRESSES, QUICK, RUNS = 10_000, 1_000, 3
HOSTS, PHOTOGRAPHS, PROBED = 50, 200, 2_000
FAULTS, BAD_EVERY = ("404", "503", "broken off", "page"), 20
THREADS = (32, 16, 64, 128)  # of each of img2dataset's two processes: the best is taken
PEER = (
    *("img2dataset==1.47.0", "albumentations==1.4.24", "exifread-nocycle==3.0.1", "fire==0.7.1", "fsspec==2026.9.0"),
    *("numpy==2.4.6", "opencv-python-headless==4.14.0.94", "pandas==2.3.3", "pyarrow==26.0.1", "tqdm==4.70.1"),
    *("wandb==0.31.0", "webdataset==0.2.111"),
)
MODES = {
    "decoded": "--skip_reencode=True",
    "encoded": "--skip_reencode=False",
    "unseen": "--disable_all_reencoding=True",
}
OURS = """
import sys
from pathlib import Path
from ganpipe.corpus import lists, scrape
from ganpipe.corpus.pack import pack
if __name__ == "__main__":
    path, to = map(Path, sys.argv[1:])
    listed = lists.read(path)
    scrape.scrape(listed, scrape.Settings("bench@example.org", per_second=1000, private=True), to / "ledger")
    pack(scrape.source(path.stem, listed, to / "ledger"), str(path), to / "out", {"name": "scrape"})
"""


class Served(NamedTuple):
    """What there is to fetch, and what the hosts' process counts."""

    port: int
    addresses: Path
    photographs: list[bytes]
    requests: "ctypes.Array[ctypes.c_uint32]"  # of each address
    open: "ctypes.Array[ctypes.c_uint32]"  # the most connections that each host had at a time
    seconds: "ctypes.Array[ctypes.c_double]"  # of the processor, in all

    def good(self) -> list[int]:
        """The addresses that give an image."""
        return [number for number in range(len(self.requests)) if fault(number) is None]


Command = Callable[[Path, Path], list[str]]  # of a list and a folder; the shards come into `out` in it


def main() -> None:
    """Measure, print, write."""
    asked = arguments("How fast images are fetched from a list of addresses")
    runs = 1 if asked.quick else RUNS
    peer = installed()
    with tempfile.TemporaryDirectory() as folder, serving(QUICK if asked.quick else ADDRESSES, Path(folder)) as served:
        figures = {f"server_{how}_per_second": answers(served, how == "kept") for how in ("new", "kept")}
        commands: dict[str, Command] = {"ours": ours}
        if peer is not None:
            tried = {n: 0.0 if asked.quick else whole(img2dataset(peer, n), served)["seconds"] for n in THREADS}
            figures["img2dataset_threads"] = threads = min(tried, key=lambda n: tried[n])
            modes = list(MODES)[: 1 if asked.quick else len(MODES)]
            commands |= {f"img2dataset_{mode}": img2dataset(peer, threads, mode) for mode in modes}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                found[name].append(whole(command, served))
        for name, each in found.items():
            figures |= {f"{name}_{key}": statistics.median(run[key] for run in each) for key in each[0]}
            if runs > 1:
                figures[f"{name}_seconds_least"] = min(run["seconds"] for run in each)
                figures[f"{name}_seconds_most"] = max(run["seconds"] for run in each)
        if peer is not None:
            theirs = figures["img2dataset_decoded_images_per_second"]
            figures["speedup_over_img2dataset"] = figures["ours_images_per_second"] / theirs
        for name, command in list(commands.items())[:2]:
            figures |= {f"{name}_killed_{key}": value for key, value in killed(command, served).items()}
    report(figures, asked.json)


def ours(listed: Path, to: Path) -> list[str]:
    """What the download stage does; private addresses are allowed by nothing but this."""
    return [sys.executable, "-c", OURS, str(listed), str(to)]


def img2dataset(python: Path, threads: int, mode: str = "decoded") -> Command:
    """Ten shards, for one shard is the work of one process."""

    def command(listed: Path, to: Path) -> list[str]:
        with listed.open() as file:
            shard = sum(1 for _ in file) // 10
        parallel = ["--processes_count=2", f"--thread_count={threads}", f"--number_sample_per_shard={shard}"]
        output = [f"--output_folder={to / 'out'}", "--output_format=webdataset", "--resize_mode=no", MODES[mode]]
        return [str(python), "-m", "img2dataset.main", str(listed), *output, *parallel]

    return command


def installed() -> Path | None:
    """The Python of a virtual environment with img2dataset in it; None, with the reason said, where there is none."""
    folder = files.work_folder().absolute() / "benchmarks" / "img2dataset"
    python = str(folder / "bin" / "python")
    check = [python, "-c", "import img2dataset"]
    if Path(python).exists() and ran(check) is None:
        return Path(python)
    for step in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [python, "-m", "pip", "install", *PEER],
        check,
    ):
        if (fault := ran(step)) is not None:
            print(f"img2dataset cannot be had, so only ours is measured: {fault}")
            return None
    return Path(python)


def ran(command: list[str]) -> str | None:
    """Why a command failed, if it did."""
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    return done.stderr.strip()[-500:] if done.returncode else None


def environment() -> dict[str, str]:
    """No proxy between this machine and itself, and no look for a newer version of a library."""
    return {**os.environ, "no_proxy": "*", "NO_ALBUMENTATIONS_UPDATE": "1"}


def whole(command: Command, served: Served) -> dict[str, float]:
    """A run from the list to the shards."""
    with cleared(served) as to:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        busy, hosts = machine_seconds() - time.process_time(), served.seconds[0]
        peak = finish(started(command, served, to))
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        busy, hosts = machine_seconds() - time.process_time() - busy, served.seconds[0] - hosts
        held = contents(served, to)
    taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "images_per_second": held["images"] / seconds,
        "seconds": seconds,
        "cpu_seconds": taken,
        "server_cpu_seconds": hosts,
        "cpu_seconds_of_all_else": busy - taken - hosts,
        "peak_memory_mib": peak / 2**20,
        **held,
        "most_connections_to_a_host": max(served.open),
    }


def machine_seconds() -> float:
    """Of its cores, that they were busy since it started."""
    user, nice, system, _, _, interrupt, soft, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    return (user + nice + system + interrupt + soft) / os.sysconf("SC_CLK_TCK")


def killed(command: Command, served: Served) -> dict[str, float]:
    """Killed when half is asked for, and run again."""
    with cleared(served) as to:
        child = started(command, served, to)
        while child.poll() is None and sum(served.requests) < len(served.requests) // 2:
            time.sleep(0.01)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        time.sleep(0.5)  # until what was on its way is there
        asked, left = sum(served.requests), unreadable(to)
        began = time.perf_counter()
        finish(started(command, served, to))
        good = served.good()
        held = contents(served, to)
        return {
            "at_request": asked,
            "left_unreadable_shards": left,
            "images_lost": len(good) - held["images"],
            "images_doubled": held["doubled"],
            "requests_repeated": sum(max(0, served.requests[number] - 1) for number in good),
            "resumed_seconds": time.perf_counter() - began,
        }


@contextmanager
def cleared(served: Served) -> Iterator[Path]:
    """A folder for a run, and counts from nothing."""
    for counts in (served.requests, served.open):
        ctypes.memset(counts, 0, ctypes.sizeof(counts))
    to = served.addresses.with_name("made")
    to.mkdir()
    yield to
    shutil.rmtree(to)


def started(command: Command, served: Served, to: Path) -> "subprocess.Popen[bytes]":
    """In a group of its own, so that all of it can be killed."""
    with (to / "log").open("ab") as log:
        arguments = command(served.addresses, to)
        return subprocess.Popen(arguments, env=environment(), stdout=log, stderr=log, start_new_session=True)


def finish(child: "subprocess.Popen[bytes]") -> int:
    """Wait for its end; the most memory that it and its processes held, in bytes."""
    peak = 0
    while child.poll() is None:
        peak = max(peak, memory(child.pid))
        time.sleep(0.2)
    if child.returncode:
        raise SystemExit(f"{child.args!r} failed with {child.returncode}")
    return peak


def memory(session: int) -> int:
    """Bytes that the processes of a session hold; what several share counts for each."""
    pages = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it may have ended
            fields = path.read_text().rpartition(")")[2].split()
            pages += int(fields[21]) if int(fields[3]) == session else 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def contents(served: Served, to: Path) -> dict[str, float]:
    """What the shards hold: good images, those of them with the bytes that were served, and what else."""
    held: Counter[int] = Counter()
    same = 0
    for path in (to / "out").glob("*.tar"):
        with tarfile.open(path) as tar:
            read = {member.name: file.read() for member in tar if (file := tar.extractfile(member))}
        for name, data in read.items():
            if name.endswith(".json"):
                number = int(json.loads(data)["url"].rpartition("/")[2].removesuffix(".jpg"))
                held[number] += 1
                same += read[name.removesuffix("json") + "jpg"] == served.photographs[number % PHOTOGRAPHS]
    good = [number for number in served.good() if number in held]
    return {
        "images": len(good),
        "images_as_served": same,
        "images_that_are_none": len(held) - len(good),
        "doubled": sum(held.values()) - len(held),
    }


def unreadable(to: Path) -> int:
    """Shards that lack their end."""
    broken = 0
    for path in (to / "out").glob("*.tar"):
        try:
            with tarfile.open(path) as tar:
                tar.getmembers()
            broken += path.stat().st_size % tarfile.BLOCKSIZE != 0 or not path.read_bytes().endswith(bytes(1024))
        except tarfile.TarError:
            broken += 1
    return broken


def host(number: int) -> str:
    """That of an address."""
    return f"127.0.0.{1 + number % HOSTS}"


def fault(number: int) -> str | None:
    """How an address fails, if it does: of each host's addresses one in twenty."""
    turn, bad = divmod(number // HOSTS, BAD_EVERY)
    return FAULTS[(turn + number) % len(FAULTS)] if bad == BAD_EVERY // 2 else None


def photograph(seed: int) -> bytes:
    """A JPEG of 500 x 375, of some 40 kB: noise that has less of each finer scale, as photographs have."""
    rng = np.random.default_rng(seed)
    pixels = np.full((375, 500, 3), 128.0)
    for octave in range(2, 9):
        colours = rng.normal(0, 0.35, (2**octave, 2**octave, 3))
        coarse = (colours + rng.normal(0, 0.9, (2**octave, 2**octave, 1))).astype(np.float32)
        for channel in range(3):
            scaled = Image.fromarray(coarse[..., channel]).resize((500, 375), Image.Resampling.BICUBIC)
            pixels[..., channel] += 140 * 0.68**octave * np.asarray(scaled)
    image, file = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(80, 93)))
    return file.getvalue()


@contextmanager
def serving(count: int, folder: Path) -> Iterator[Served]:
    """The hosts in a process of their own, and the list of so many addresses of theirs."""
    context = multiprocessing.get_context("spawn")
    counts = RawArray("I", count), RawArray("I", HOSTS), RawArray("d", 1)
    ports: multiprocessing.Queue[int] = context.Queue()
    photographs = [photograph(seed) for seed in range(PHOTOGRAPHS)]
    process = context.Process(target=serve, args=(photographs, ports, *counts), daemon=True)
    process.start()
    port, path = ports.get(), folder / "list.txt"
    order = np.random.default_rng(0).permutation(count)
    path.write_text("".join(f"http://{host(number)}:{port}/{number}.jpg\n" for number in order))
    try:
        yield Served(port, path, photographs, *counts)
    finally:
        process.terminate()
        process.join()


def serve(photographs: list[bytes], ports: "multiprocessing.Queue[int]", *counts: Any) -> None:
    """For ever."""
    asyncio.run(hosts(photographs, ports, *counts))


async def hosts(photographs: list[bytes], ports: "multiprocessing.Queue[int]", *counts: Any) -> None:
    """All fifty on one port."""
    loop, whole = asyncio.get_running_loop(), answered(photographs)
    first = await loop.create_server(lambda: Host(whole, 0, *counts), host(0), 0, backlog=1024)
    port = first.sockets[0].getsockname()[1]
    for n in range(1, HOSTS):
        await loop.create_server(lambda n=n: Host(whole, n, *counts), host(n), port, backlog=1024)  # type: ignore[misc]
    ports.put(port)
    while True:
        counts[2][0] = time.process_time()
        await asyncio.sleep(0.05)


def answered(photographs: list[bytes]) -> dict[str, bytes]:
    """Whole answers, by fault or by photograph."""

    def answer(status: str, kind: str, body: bytes) -> bytes:
        return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    page = b"<html><body>This picture has moved.</body></html>" * 20
    pictures = {str(number): answer("200 OK", "image/jpeg", each) for number, each in enumerate(photographs)}
    return {
        **pictures,
        "404": answer("404 Not Found", "text/html", page),
        "503": answer("503 Service Unavailable", "text/html", page),
        "broken off": pictures["0"][: len(pictures["0"]) // 2],
        "page": answer("200 OK", "text/html", page),
        "robots.txt": answer("200 OK", "text/plain", b"User-agent: *\nDisallow:\n"),
    }


class Host(asyncio.Protocol):
    """One connection to one of the hosts."""

    def __init__(self, answers: dict[str, bytes], number: int, requests: Any, most: Any, seconds: Any) -> None:
        self.answers, self.number, self.requests, self.most = answers, number, requests, most
        self.held = b""

    open: ClassVar[Counter[int]] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.open[self.number] += 1
        self.most[self.number] = max(self.most[self.number], self.open[self.number])

    def connection_lost(self, _: Exception | None) -> None:
        self.open[self.number] -= 1

    def data_received(self, data: bytes) -> None:
        self.held += data
        while b"\r\n\r\n" in self.held:
            head, _, self.held = self.held.partition(b"\r\n\r\n")
            name = head.split(b" ", 2)[1].decode().lstrip("/")
            if name != "robots.txt":
                number = int(name.removesuffix(".jpg"))
                self.requests[number] += 1
                name = fault(number) or str(number % PHOTOGRAPHS)
            self.transport.write(self.answers[name])
            if name == "broken off" or b"connection: close" in head.lower():
                self.transport.close()


def answers(served: Served, kept: bool) -> float:
    """Images a second that one plain client gets, in turn, on one connection a host or on one each."""
    connections: dict[str, socket.socket] = {}
    good = served.good()[:PROBED]
    began = time.perf_counter()
    for number in good:
        name = host(number)
        client = connections.pop(name, None) or socket.create_connection((name, served.port))
        client.sendall(f"GET /{number}.jpg HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        left = len(served.photographs[number % PHOTOGRAPHS])
        data = client.recv(1 << 18)
        left -= len(data) - data.index(b"\r\n\r\n") - 4
        while left:
            left -= len(client.recv(1 << 18))
        if kept:
            connections[name] = client
        else:
            client.close()
    rate = len(good) / (time.perf_counter() - began)
    for client in connections.values():
        client.close()
    return rate


if __name__ == "__main__":
    main()
