"""What happens to the pipeline in a round: each hazard does its harm, and `chaos` sees what comes of it."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from chaos.ground import Done, Ground
from chaos.origin import MANNERS, Origin
from support.server import WebServer, free_port

Process = subprocess.Popen[bytes]
PAGES = 40  # of 4 KiB, that are free at most on a disk which is to be full
WRITES = {"train": (".ckpt", "models"), "evaluate@digits": ("plots",), "analyse": ("plots",)}  # others: data
HARMS = ("flipped", "flipped, dated as before", "truncated", "emptied", "deleted")
# Files by the stage that reads them next: that one runs again after the harm.
READ_BY = {
    "data/raw/archive/*": ("dedupe", "preprocess"),
    "data/evaluation/digits/*": ("dedupe", "evaluate@digits"),
    "data/deduped/*.parquet": ("preprocess",),
    "data/deduped/manifest.json": ("preprocess",),
    "data/processed/*": ("train", "evaluate@digits", "analyse"),
    "models/gan/*": ("evaluate@digits", "analyse"),
    ".ckpt/train/*/*": ("train",),
    ".ckpt/download/*/*": ("download",),
    "metrics/**/*.json": (),
    "plots/**/*": (),
    "dvc.lock": (),
    "params.yaml": (),
}


class Round(NamedTuple):
    """What a hazard has to go by; `turn` is how often it came before, so that each kind of a thing has its turn."""

    ground: Ground
    origin: Origin
    dice: random.Random
    turn: int = 0

    def stage(self, *among: str) -> str:
        """One of these that the ground has, or of all."""
        return self.dice.choice([name for name in self.ground.stages if name in (among or self.ground.stages)])


class Harm(NamedTuple):
    """What was done, the command that it was done to (if it ended by itself), and how the cause of it is put right."""

    told: str
    done: Done | None = None
    mend: Callable[[], None] = lambda: None
    of_tracking: bool = False
    bit: bool = True  # whether anything came to harm: a stage may be over before it is to be killed
    may_fail: bool = True  # whether the command may end in a sentence
    meant: bool = False  # whether the harm may rightly change the result, as another setting does


@contextmanager
def kill(world: Round) -> Iterator[Harm]:
    """SIGKILL at a random moment: to all, to the stage alone, or to `dvc repro`, whose stage works on by itself."""
    ground, dice = world.ground, world.dice
    stage, whom = world.stage(), dice.choice(("all", "all", "the stage", "dvc"))
    ground.forget(stage)
    if dice.random() < 0.5:
        shutil.rmtree(ground.folder / ".ckpt", ignore_errors=True)
    after = dice.uniform(0.02, 1.0) * ground.usual[stage]
    orphans: list[psutil.Process] = []
    killed: list[int] = []

    def meanwhile(process: Process) -> None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(after)
        while whom == "the stage" and not _works(process) and process.poll() is None:
            time.sleep(0.05)  # DVC is still reading its graph
        works = _works(process)
        if process.poll() is not None:
            return
        if whom == "all":
            os.killpg(process.pid, signal.SIGKILL)
        elif whom == "dvc":
            orphans.extend(works)
            process.kill()
        else:
            for each in works:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
                    killed.append(each.pid)

    done = ground.attempt("dvc", "repro", stage, meanwhile=meanwhile)
    told = f"SIGKILL to {whom} after {after:.1f} s of {stage}"
    yield Harm(told, done if done.code >= 0 else None, of_tracking=True, bit=bool(killed) or done.code < 0)
    for each in orphans:
        with suppress(psutil.NoSuchProcess):
            each.wait(120)


@contextmanager
def full_disk(world: Round) -> Iterator[Harm]:
    """A tmpfs that holds less than a stage writes, in the place of the whole project or of one of its folders."""
    ground, dice = world.ground, world.dice
    stage = world.stage()
    where = dice.choice(("", *WRITES.get(stage, ("data",))))
    place = ground.folder / where
    ground.forget(stage)
    if not where:
        shutil.rmtree(ground.folder / ".ckpt", ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    held = ground.root / "held"
    shutil.rmtree(held, ignore_errors=True)
    subprocess.run(["cp", "-a", place, held], check=True)
    _mount(place, 512 << 20)
    try:
        subprocess.run(["cp", "-a", f"{held}/.", place], check=True)
        used = shutil.disk_usage(place).used
        free = 4096 * dice.randrange(1, PAGES)
        _mount(place, used + free, again=True)
        done = ground.attempt("dvc", "repro", stage)
        told = f"{free >> 10} KiB left on the disk of {where or 'the project'} for {stage}"
        filled = done.code != 0 or shutil.disk_usage(place).free == 0
        yield Harm(told, done, lambda: _mount(place, 512 << 20, again=True), of_tracking=not where, bit=filled)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def bad_network(world: Round) -> Iterator[Harm]:
    """The corpus's server is at its worst, for a few answers or for all of a run."""
    manner, answers = MANNERS[world.turn % len(MANNERS)], world.dice.choice((1, 2, 3, 1000))
    world.ground.forget("download")
    shutil.rmtree(world.ground.folder / ".ckpt", ignore_errors=True)
    world.origin.misbehave(manner, answers, world.dice)
    done = world.ground.attempt("dvc", "repro", "download")
    told = f"the download's server {manner}, {f'{answers} times' if answers < 1000 else 'always'}"
    yield Harm(told, done, lambda: world.origin.misbehave("", 0, world.dice), bit=world.origin.bad < answers)


@contextmanager
def lost_tracking(world: Round) -> Iterator[Harm]:
    """A real tracking server is killed while a stage tells it, and comes back at once, or when the stage is over."""
    ground, dice = world.ground, world.dice
    stage, back = world.stage("download", "dedupe", "preprocess", "train"), dice.random() < 0.5
    server = _tracking_server(ground)
    server.start()
    ground.store = server.url
    ground.forget(stage)
    after = dice.uniform(0.1, 1.0) * ground.usual[stage]
    at_work: list[bool] = []

    def meanwhile(process: Process) -> None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(after)
        at_work.append(process.poll() is None)
        server.kill()
        if back:
            server.start()

    def mend() -> None:
        if not back:
            server.start()

    try:
        done = ground.attempt("dvc", "repro", stage, meanwhile=meanwhile)
        when = "and started again" if back else "until it is over"
        told = f"tracking server killed after {after:.1f} s of {stage}, {when}"
        yield Harm(told, done, mend, of_tracking=True, bit=at_work[0], may_fail=False)
    finally:
        server.kill()


@contextmanager
def damaged_file(world: Round) -> Iterator[Harm]:
    """One file of the project, and then the stage that reads it runs again."""
    ground, dice = world.ground, world.dice
    patterns = [name for name, readers in READ_BY.items() if not readers or {*readers} & {*ground.stages}]
    found = {name: paths for name in patterns if (paths := _files(ground.folder, name))}
    pattern = list(found)[world.turn % len(found)]
    path, how = dice.choice(found[pattern]), dice.choice(HARMS)
    readers = [stage for stage in READ_BY[pattern] if stage in ground.stages]
    reader = dice.choice(readers) if readers else None
    ground.run("dvc", "status")  # from here on DVC trusts dates
    if reader is not None:
        ground.forget(reader)
    before, name = path.read_bytes(), str(path.relative_to(ground.folder))
    bit = _harm(path, how, dice)
    told = f"{name} {how}" + (f", then {reader}" if reader else "")
    # These two are git's: a changed setting may be meant, and is put back by whoever did not mean it.
    mend = partial(_rewrite, path, before) if name in ("dvc.lock", "params.yaml") else lambda: None
    yield Harm(told, ground.attempt(*ground.rerun), mend, bit=bit, meant=name == "params.yaml")


@contextmanager
def damaged_cache(world: Round) -> Iterator[Harm]:
    """A file of DVC's cache, of which the project's own copy has gone, and then the stage that reads it runs again."""
    ground, dice = world.ground, world.dice
    outputs = {name: ground.folder / name for name in ground.locked_outputs()}
    found = {
        pattern: paths
        for pattern, readers in READ_BY.items()
        if pattern.startswith(("data/", "models/"))
        and {*readers} & {*ground.stages}
        and (paths := _files(ground.folder, pattern))
    }
    pattern = dice.choice(list(found))
    path, how = dice.choice(found[pattern]), dice.choice(HARMS)
    reader = dice.choice([stage for stage in READ_BY[pattern] if stage in ground.stages])
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    gone = next(place for place in outputs.values() if path.is_relative_to(place))
    shutil.rmtree(gone)
    ground.forget(reader)
    bit = _harm(ground.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:], how, dice)
    told = f"the cache's {path.relative_to(ground.folder)} {how}, and {gone.relative_to(ground.folder)} gone"
    yield Harm(f"{told}, then {reader}", ground.attempt(*ground.rerun), bit=bit)


@contextmanager
def damaged_store(world: Round) -> Iterator[Harm]:
    """MLflow's database: a page of it overwritten, cut, emptied or deleted."""
    path, how = world.ground.folder / "mlflow.db", world.dice.choice(("page", "truncated", "emptied", "deleted"))
    if how == "page":
        with path.open("r+b") as file:
            file.seek(4096 * world.dice.choice((0, world.dice.randrange(path.stat().st_size // 4096))))
            file.write(world.dice.randbytes(4096))
    else:
        _harm(path, how, world.dice)
    yield Harm(f"mlflow.db {how}", world.ground.attempt("ganpipe", "sync"), of_tracking=True)


@contextmanager
def damaged_journal(world: Round) -> Iterator[Harm]:
    """What a stage had told while no server was there, damaged before it is delivered to an empty store."""
    ground, dice = world.ground, world.dice
    stage = world.stage("download", "dedupe", "preprocess", "train")
    ground.forget(stage)
    ground.store = "http://127.0.0.1:9"  # where nobody answers
    without = ground.attempt("dvc", "repro", stage)
    (ground.folder / "mlflow.db").unlink()
    ground.store = f"sqlite:///{ground.folder}/mlflow.db"
    if without.code:
        yield Harm(f"no tracking server for {stage}", without, of_tracking=True, may_fail=False)
        return
    path, how = dice.choice(_files(ground.folder, ".ckpt/tracking/*/*")), dice.choice(HARMS)
    bit = _harm(path, how, dice)
    name = f"{'*' if len(path.stem) > 20 else path.stem}{path.suffix}"
    yield Harm(f"journal of {stage}: {name} {how}", ground.attempt("ganpipe", "sync"), of_tracking=True, bit=bit)


def can_mount(root: Path) -> bool:
    """Whether this user may mount a tmpfs."""
    if os.geteuid() != 0:
        return False
    place = root / "mounted"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False, capture_output=True)
    if done.returncode == 0:
        subprocess.run(["umount", place], check=True)
    place.rmdir()
    return done.returncode == 0


def _mount(place: Path, size: int, again: bool = False) -> None:
    options = f"{'remount,' if again else ''}size={-(-size // 4096) * 4096}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)


def _tracking_server(ground: Ground) -> WebServer:
    """Its database is a new one each time, migrated by its first start, of which a copy is kept."""
    place, empty, port = ground.root / "server", ground.root / "empty.db", free_port()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    if empty.exists():
        shutil.copyfile(empty, place / "mlflow.db")
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = [
        "--backend-store-uri",
        f"sqlite:///{place}/mlflow.db",
        "--artifacts-destination",
        str(place / "artifacts"),
    ]
    server = WebServer(["mlflow", "server", *address, *stores], place, port, ground.environment())
    if not empty.exists():
        server.start()
        server.kill()
        shutil.copyfile(place / "mlflow.db", empty)
    return server


def _works(process: Process) -> list[psutil.Process]:
    """The stage's process below DVC's, and the shell that it is started by."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        return [each for each in family if "stages/" in " ".join(_line(each))]
    return []


def _line(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return list(process.cmdline())
    return []


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file() and path.name != "lock")


def _harm(path: Path, how: str, dice: random.Random) -> bool:
    """In place, so that a hard link to DVC's cache is harmed too, as a failing disk would; whether it differs."""
    dated, before = path.stat(), path.read_bytes()
    data, mode = bytearray(before), dated.st_mode
    path.chmod(mode | 0o200)
    if how == "deleted":
        path.unlink()
        return True
    if how.startswith("flipped"):
        for _ in range(dice.choice((1, 8))):
            if data:
                data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    else:
        del data[0 if how == "emptied" else dice.randrange(max(1, len(data))) :]
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
    path.chmod(mode)
    if how.endswith("as before"):
        os.utime(path, ns=(dated.st_atime_ns, dated.st_mtime_ns))
    return data != before


def _rewrite(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)
