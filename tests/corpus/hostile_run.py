"""Hostile inputs, one after another, through the first stage in a process of its own, which is watched from outside.

    outcomes = run(inputs(10_000), folder)

That process is `python -m corpus.hostile_run`: it reads inputs from its standard input, and says what came of each.
"""

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from corpus.hostile import BATCH, Input

PATIENCE = 300  # seconds for one input: the slowest takes four, on a machine that does nothing else
ROOM = 150 << 20  # bytes for reading a table, in place of 700 MiB, so that a bomb is soon made
OUT, IN = Path("out"), Path("in")


class Outcome(NamedTuple):
    """What came of one input."""

    input: Input  # without its data
    came: str  # "images", or what was raised, as `refused` and `escaped` say it, or "died" or "hung"
    images: int
    rejected: dict[str, int]  # reasons
    seconds: float
    peak: int  # bytes that the process has held at the most so far
    inputs: int = 1  # of several, where they went together


REFUSED = "refused: "  # an error that is documented; what is raised besides has none of these words before it


def run(inputs: Iterable[Input], folder: Path) -> Iterator[Outcome]:
    """In a process that works in `folder`; in another one after a death. Answers of hosts come last, all together."""
    answers: list[bytes] = []
    yield from _run(_others(inputs, answers), folder)
    if answers:
        from corpus.hostile_hosts import hosts  # not above: the process below needs none of what that imports

        with hosts(answers) as urls:
            listed = [json.dumps({"url": url, "caption": "\ud800"}).encode() for url in urls]
            for outcome in _run([Input("answers", "all of them", b"\n".join(listed))], folder):
                yield outcome._replace(inputs=len(answers))


def _others(inputs: Iterable[Input], answers: list[bytes]) -> Iterator[Input]:
    """The inputs that are no answers of hosts; these go to the list."""
    for each in inputs:
        if each.kind == "answer":
            answers.append(each.data)
        else:
            yield each


def _run(inputs: Iterable[Input], folder: Path) -> Iterator[Outcome]:
    process = None
    for each in inputs:
        process = process or _start(folder)
        assert process.stdin is not None
        assert process.stdout is not None
        sent = each._replace(data=b"")
        began = time.monotonic()
        try:
            process.stdin.write(json.dumps([each.kind, len(each.data)]).encode() + b"\n" + each.data)
            process.stdin.flush()
            ready = select.select([process.stdout], [], [], PATIENCE)[0]
            line = process.stdout.readline() if ready else None
        except BrokenPipeError:
            line = b""
        if line:
            yield Outcome(sent, *json.loads(line))
            continue
        if line is None:
            process.kill()
        came = "hung" if line is None else f"died: {process.wait()}"
        yield Outcome(sent, came, 0, {}, time.monotonic() - began, 0)
        process = None
    if process is not None:
        process.communicate()


def _start(folder: Path) -> "subprocess.Popen[bytes]":
    tests = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(tests), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "corpus.hostile_run"]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def main() -> None:
    """The process."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the stage prints
    handlers = _handlers()
    while line := source.readline():
        kind, size = json.loads(line)
        data = source.read(size)
        began = time.monotonic()
        came, images, rejected = _one(partial(handlers[kind], data))
        sink.write(json.dumps([came, images, rejected, time.monotonic() - began, _peak()]).encode() + b"\n")


def _peak() -> int:
    """Not getrusage's: that is the parent's, too, from before it became this program. 0 where it is not told."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


Came = tuple[int, dict[str, int]]  # images, and reasons why others are none
Handler = Callable[[bytes], Came]


def _one(work: Callable[[], Came]) -> tuple[str, int, dict[str, int]]:
    from ganpipe.corpus.http import FetchError
    from ganpipe.corpus.images import BrokenImage
    from ganpipe.corpus.unpack import BadArchive
    from ganpipe.errors import UserError

    try:
        return "images", *work()
    except BrokenImage as error:
        return REFUSED + "BrokenImage", 0, {str(error): 1}
    except (UserError, BadArchive, FetchError) as error:
        return f"{REFUSED}{type(error).__name__}", 0, {str(error)[:300]: 1}
    except BaseException as error:
        import traceback

        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:100]} ({Path(place.filename).name}:{place.lineno})", 0, {}


def _handlers() -> dict[str, Handler]:
    from ganpipe.corpus import tables, unpack
    from support.settings import download_params

    unpack.BATCH, tables.ROOM = BATCH, ROOM
    params = download_params("archive", "in/input", contact="me@example.org")
    endings = {"tar": "tar", "zip": "zip", "webdataset": "tar", "parquet": "parquet", "lmdb": "mdb"}
    unpackers: dict[str, Callable[..., Any]] = {
        "mat": unpack.svhn,
        "cifar": unpack.cifar10_binary,
        "cifar_pictures": unpack.cifar10_pictures,
        "cifar_pickles": unpack.cifar10_pickled,
    }
    return {
        "image": _image,
        **{kind: partial(_packed, params, kind, ending) for kind, ending in endings.items()},
        **{kind: partial(_unpacked, work) for kind, work in unpackers.items()},
        "idx": _idx,
        **{kind: partial(_listed, kind) for kind in ("txt", "csv", "jsonl", "list.parquet")},
        "robots": _robots,
        "answers": partial(_answers, params),
    }


def _image(data: bytes) -> Came:
    from ganpipe.corpus.images import decode

    image = decode(data)
    assert image.mode == "RGB"
    assert min(image.size) > 0
    return 1, {}


def _packed(params: Any, kind: str, ending: str, data: bytes) -> Came:
    """By the stage itself; what it has packed must be images."""
    from ganpipe.corpus.download import download
    from ganpipe.corpus.images import decode
    from ganpipe.corpus.shards import Images

    path = _written(f"input.{ending}", data)
    name = "archive" if kind in ("tar", "zip") else kind
    download(params.model_copy(update={"name": name, "path": str(path)}), OUT)
    held = Images(OUT)
    for shard, offset, length in map(held._locate, range(min(len(held), 100))):
        decode(shard.read_bytes()[offset : offset + length])
    return len(held), dict(Counter(each["reason"] for each in held.manifest["rejected"]))


def _unpacked(work: Callable[..., Any], data: bytes) -> Came:
    images, labels = work(_written("input", data))
    assert images.shape == (len(labels), 32, 32, 3)
    return len(images), {}


def _idx(data: bytes) -> Came:
    import gzip

    from ganpipe.corpus import unpack

    labels = _written("labels", gzip.compress(b"\0\0\x08\1\0\0\0\3\1\2\3"))
    return len(unpack.mnist(_written("input", data), labels)[0]), {}


def _listed(kind: str, data: bytes) -> Came:
    from ganpipe.corpus import lists

    found = lists.read(_written(f"input.{kind}", data))
    return len(found.wanted), {"not an address": len(found.unusable)}


def _robots(data: bytes) -> Came:
    from ganpipe.corpus.manners import Manners, Robots

    async def ask(url: str) -> Robots:
        return Robots(200, data.decode("utf-8", "replace"))

    async def allowed() -> list[bool | None]:
        manners = Manners(1000, ask)
        await manners.learn("http://example.org/")
        paths = ("", "a" * 8000, "private/a.png", "a/%2a%zz?x=$#b", "/".join("ab" * 1000))
        return [manners.allowed(f"http://example.org/{path}") for path in paths]

    assert None not in asyncio.run(allowed())
    return 1, {}


def _answers(params: Any, data: bytes) -> Came:
    """A list of addresses, each of which is answered by a hostile host: by the stage itself."""
    from ganpipe.corpus import scrape
    from ganpipe.corpus.download import download
    from ganpipe.corpus.shards import Images

    scrape.WAIT_SECONDS = 0.001
    settings = scrape.Settings("me@example.org", per_second=1000, deadline=1.5, most_bytes=1 << 20, private=True)
    scrape.Settings = lambda *_, **__: settings  # type: ignore[assignment,misc]
    path = _written("input.jsonl", data)
    found = download(params.model_copy(update={"name": "scrape", "path": str(path)}), OUT)
    images = Images(OUT)
    assert all(facts["url"] for facts in images.facts(range(len(images))))  # type: ignore[arg-type]
    return len(images), {name: int(count) for name, count in found.items() if name.startswith("scraped_")}


def _written(name: str, data: bytes) -> Path:
    IN.mkdir(exist_ok=True)
    (IN / name).write_bytes(data)
    return IN / name


if __name__ == "__main__":
    main()
