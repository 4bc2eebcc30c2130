"""How each stage's time and memory grow with the number of images: 1,000, 10,000, 100,000, 1,000,000.

    GANPIPE_MIRROR=... python benchmarks/growth.py [--most N] [--beside] [--out docs] [--quick] [--json PATH]

The stages' own scripts run in copies of the project, one after another, each a process of its own, with the settings
of params.yaml but for those in `SETTINGS`. The images are those of the mirror's `imagenet32`, each turned, mirrored and
cut in one of 40 ways, so that hardly any two that are made of the same are near-duplicates; the corpus comes as
WebDataset's shards. `train` runs a set number of steps, whatever the number of images. `evaluation_sets` and `evaluate`
are by the images of the evaluation set, at most `EVALUATED`; the others look at the 1,797 digits. `analyse` compares
1,000 samples with at most 50,000 training images. Memory is the peak of a stage's process and its workers together,
without the pages of files. With --out the table goes to growth.csv there, and the plot to pictures/growth.png; with
--beside exponents go by the time of the processors, for other work takes from the clock's.
"""

import argparse
import csv
import io
import math
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from PIL import Image
from reporting import machine, parser, report
from watched import own, watched

from ganpipe.errors import UserError, entry

ROOT = Path(__file__).resolve().parent.parent
SIZES, QUICK = (1_000, 10_000, 100_000, 1_000_000), (100, 1_000)
EVALUATED = 100_000  # images: the control on pixels holds some 25 KB of each in memory
APART = 1_000_000  # the evaluation set's images are made otherwise than the corpus's
SHARD = 10_000  # images in a tar
CLASSES = 10
CORNERS = ((0, 0, 32, 32), (0, 0, 24, 24), (8, 0, 32, 24), (0, 8, 24, 32), (8, 8, 32, 32))
LINEAR = 0.15  # that an exponent may be away from 1
SETTINGS: dict[str, dict[str, Any]] = {
    "download": {"name": "webdataset", "path": "given/*.tar"},
    "train": {"width": 8, "steps": 200},
    "evaluate": {"datasets": ["digits"], "path": "labelled"},
}
DATA = "data/raw/webdataset"
STAGES = {
    "download": ["download.py"],
    "dedupe": ["dedupe.py", DATA, "data/evaluation"],
    "preprocess": ["preprocess.py", DATA],
    "train": ["train.py"],
    "analyse": ["analyse.py"],
    "evaluation_sets": ["evaluation_sets.py"],
    "evaluate": ["evaluate.py", "folder"],
}
OF_EVALUATION = ("evaluation_sets", "evaluate")
QUICK_STAGES = ("download", "dedupe", "preprocess")
# Beside the start-up, which is said of each: what makes a stage grow more slowly than its images, and what faster.
PASSES = "how many passes over the features the solver takes, and for how many C, depends on the images"
SLOWER = {
    "dedupe": "the hash is fitted to at most 20,000 images and measured among at most 100,000, whatever their number",
    "train": "it runs a set number of steps: only reading its images grows",
    "analyse": "pictures and samples are a set number, and of more than 50,000 images 50,000 are compared",
    "evaluate": PASSES,
}
FASTER = {
    "dedupe": (
        "at a radius of some 25 of 128 bits no part of two codes tells them apart, so that all pairs are compared, by "
        "products of matrices"
    ),
    "evaluate": PASSES,
}


class Measured(NamedTuple):
    """One stage at one size."""

    stage: str
    images: int
    seconds: float
    processor: float  # seconds of all its processes
    memory: int  # bytes


Clock = Callable[[Measured], float]
WALL: Clock = attrgetter("seconds")
PROCESSOR: Clock = attrgetter("processor")
MEMORY: Clock = attrgetter("memory")
BESIDE = " Other work ran on it at the same time: exponents and costs are of the processors' time, not the clock's."


@entry
def main() -> None:
    """Measure, print, write."""
    asked = arguments()
    sizes = QUICK if asked.quick else tuple(size for size in SIZES if size <= asked.most)
    originals = read_originals(max(sizes))
    found: list[Measured] = []
    for size in sizes:
        for each in measured(originals, size, QUICK_STAGES if asked.quick else tuple(STAGES)):
            found.append(each)
            print(
                f"{each.images:>9,} {each.stage:<16} {each.seconds:>8.1f} s, {each.processor:>8.1f} s of processors, "
                f"{each.memory / 2**20:>6,.0f} MiB",
                flush=True,
            )
            if asked.out is not None:
                write_csv(asked.out / "growth.csv", found)
    clock = PROCESSOR if asked.beside else WALL
    print(f"\n{machine()}.{BESIDE if asked.beside else ''}\n\n{table(found, clock)}\n")
    for sentence in sentences(found, clock):
        print(sentence)
    if asked.out is not None:
        draw(asked.out / "pictures/growth.png", found, clock)
    report(figures(found, clock), asked.json)


def arguments() -> argparse.Namespace:
    """Those of every benchmark, and how far to go."""
    made = parser("How each stage's time and memory grow with the images")
    made.add_argument("--most", type=int, default=10_000, help="images, at most: 1000, 10000, 100000 or 1000000")
    made.add_argument("--beside", action="store_true", help="other work runs: go by the processors' time")
    made.add_argument("--out", type=Path, help="folder for growth.csv and pictures/growth.png")
    return made.parse_args()


def read_originals(most: int) -> list[tuple[bytes, int]]:
    """JPEGs and their labels, of 200 classes; no more than are asked for."""
    import pyarrow.parquet as pq

    folder = Path(os.environ.get("GANPIPE_MIRROR") or os.devnull) / "imagenet32"
    read: list[tuple[bytes, int]] = []
    for path in sorted(folder.glob("*.parquet")):
        if len(read) < most:
            rows = pq.read_table(path, columns=["image", "label"]).to_pydict()
            read += zip((image["bytes"] for image in rows["image"]), rows["label"], strict=True)
    if not read:
        raise UserError(f"there are no Parquet tables in {folder}: set GANPIPE_MIRROR to a folder with imagenet32")
    return read


def images(originals: list[tuple[bytes, int]], start: int, count: int) -> Iterator[tuple[int, bytes, int]]:
    """Number, JPEG and class. Two that are made of one original differ by how it is turned and how it is cut."""
    for number in range(start, start + count):
        data, label = originals[number % len(originals)]
        way = number // len(originals) + number
        image = Image.open(io.BytesIO(data)).convert("RGB")
        image = image.resize((32, 32), Image.Resampling.BICUBIC, CORNERS[way % len(CORNERS)])
        turned = way % 8
        if turned >= 4:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if turned % 4:
            image = image.rotate(90 * (turned % 4))
        written = io.BytesIO()
        image.save(written, "JPEG", quality=95, subsampling=0)
        yield number, written.getvalue(), label * CLASSES // 200


def write_corpus(folder: Path, originals: list[tuple[bytes, int]], count: int) -> None:
    """As tar shards."""
    folder.mkdir()
    for start in range(0, count, SHARD):
        with tarfile.open(folder / f"{start // SHARD:05}.tar", "w") as tar:
            for number, data, label in images(originals, start, min(SHARD, count - start)):
                for name, content in ((f"{number:07}.jpg", data), (f"{number:07}.cls", str(label).encode())):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def write_labelled(folder: Path, originals: list[tuple[bytes, int]], count: int) -> None:
    """As a folder of classes."""
    for label in range(CLASSES):
        (folder / f"class-{label}").mkdir(parents=True)
    for number, data, label in images(originals, APART, count):
        (folder / f"class-{label}/{number:07}.jpg").write_bytes(data)


def measured(originals: list[tuple[bytes, int]], size: int, stages: tuple[str, ...]) -> Iterator[Measured]:
    """The stages in their order, at that many images."""
    with tempfile.TemporaryDirectory() as made:
        project = Path(made)
        for name in ("src", "stages"):
            shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        (project / ".dvc").mkdir()  # what a project's root is known by
        settings(project, {})
        run(project, ["evaluation_sets.py"])
        # What only the first stage of a project pays for: MLflow's store, and packages that are read from the disk.
        settings(project, {"download": {"name": "digits", "path": None}})
        run(project, ["download.py"])
        settings(project, {})
        write_corpus(project / "given", originals, size)
        for stage in stages:
            if stage == "evaluation_sets":
                if size > EVALUATED:
                    return
                write_labelled(project / "labelled", originals, size)
                settings(project, {"evaluate": {"datasets": ["folder"]}})
            began, used = time.perf_counter(), processors()
            held = run(project, STAGES[stage])
            yield Measured(stage, size, time.perf_counter() - began, processors() - used, held)


def processors() -> float:
    """Seconds that the processes that have ended used them for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def settings(project: Path, changes: dict[str, dict[str, Any]]) -> None:
    """Those of params.yaml, but for ours and these."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in (*SETTINGS.items(), *changes.items()):
        content[section].update(values)
    (project / "params.yaml").write_text(yaml.safe_dump(content))


def run(project: Path, command: list[str]) -> int:
    """A stage's script: the most bytes that it and its workers held. UserError where it fails."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "GANPIPE_", "DVC_"))}
    with (project / "log.txt").open("wb") as log:
        stage = subprocess.Popen(
            [sys.executable, f"stages/{command[0]}", *command[1:]],
            cwd=project,
            env={**kept, "PYTHONPATH": "src"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        with watched(stage.pid, lambda _: "stage", {"own": own}) as peaks:
            code = stage.wait()
    if code:
        raise UserError(f"stages/{command[0]} failed: {(project / 'log.txt').read_text(errors='replace')[-2000:]}")
    return peaks.get("stage_own", 0)


def series(found: list[Measured]) -> dict[str, list[Measured]]:
    """By stage, the smallest first."""
    names = dict.fromkeys(each.stage for each in found)
    return {name: [each for each in found if each.stage == name] for name in names}


def exponent(clock: Clock, small: Measured, large: Measured) -> float:
    """Of the time, or the memory, as a power of the number of images."""
    return math.log(clock(large) / clock(small)) / math.log(large.images / small.images)


def marginal(clock: Clock, small: Measured, large: Measured) -> float:
    """Seconds that one more image costs."""
    return (clock(large) - clock(small)) / (large.images - small.images)


def table(found: list[Measured], clock: Clock) -> str:
    """In Markdown: seconds and MiB at each size, and the growth over the last decade."""
    sizes = sorted({each.images for each in found})
    head = ["stage", *(f"{size:,}" for size in sizes), "exponent", "ms an image"]
    rows = [head, ["---"] * len(head)]
    for name, points in series(found).items():
        at = {each.images: f"{clock(each):,.1f} s, {each.memory / 2**20:,.0f} MiB" for each in points}
        grown = (
            (f"{exponent(clock, *points[-2:]):.2f}", f"{1000 * marginal(clock, *points[-2:]):.3f}")
            if len(points) > 1
            else ("–", "–")
        )
        rows.append([name, *(at.get(size, "–") for size in sizes), *grown])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def sentences(found: list[Measured], clock: Clock) -> Iterator[str]:
    """For each stage and decade, whether its time is linear, and if not, why; and how its memory grows."""
    for name, points in series(found).items():
        for small, large in pairwise(points):
            power, each = exponent(clock, small, large), marginal(clock, small, large)
            held = exponent(MEMORY, small, large)
            memory = f"{held:.2f}, more than the images" if held > 1 + LINEAR else f"{held:.2f}"
            span = f"{name}, {small.images:,} to {large.images:,} images"
            start = f"{span}: exponent {power:.2f} (of memory {memory})"
            if abs(power - 1) <= LINEAR:
                yield f"{start}: linear, {1000 * each:.3f} ms an image"
                continue
            reasons = [known[name]] if name in (known := SLOWER if power < 1 else FASTER) else []
            if each <= 0:
                reasons.insert(0, "what the images cost is less than the noise of this machine")
            elif (fixed := clock(small) - each * small.images) > 0:
                reasons.insert(0, f"{fixed:.1f} s of {clock(small):.1f} s are paid whatever the number")
            why = "; ".join(reasons) or "it takes more than the images alone would"
            yield f"{start}: not linear, {1000 * each:.3f} ms for each further image: {why}"


def figures(found: list[Measured], clock: Clock) -> dict[str, float]:
    """Flat: `exponent_<stage>` is that of the last decade."""
    flat: dict[str, float] = {}
    for name, points in series(found).items():
        for each in points:
            flat[f"seconds_{name}_{each.images}"] = each.seconds
            flat[f"processor_seconds_{name}_{each.images}"] = each.processor
            flat[f"mib_{name}_{each.images}"] = each.memory / 2**20
        for small, large in pairwise(points):
            flat[f"exponent_{name}_{small.images}_{large.images}"] = exponent(clock, small, large)
        if len(points) > 1:
            flat[f"exponent_{name}"] = exponent(clock, *points[-2:])
            flat[f"memory_exponent_{name}"] = exponent(MEMORY, *points[-2:])
            flat[f"ms_an_image_{name}"] = 1000 * marginal(clock, *points[-2:])
    return flat


def write_csv(path: Path, found: list[Measured]) -> None:
    """A row a stage and size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["stage", "images", "seconds", "processor_seconds", "peak_mib"])
        for each in found:
            times = f"{each.seconds:.2f}", f"{each.processor:.2f}"
            rows.writerow([each.stage, each.images, *times, f"{each.memory / 2**20:.0f}"])


def draw(path: Path, found: list[Measured], clock: Clock) -> None:
    """Time and memory by the number of images, on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for name, points in series(found).items():
        counts = [each.images for each in points]
        style = "--" if name in OF_EVALUATION else "-"
        left.plot(counts, [clock(each) for each in points], style, marker="o", label=name)
        right.plot(counts, [each.memory / 2**20 for each in points], style, marker="o", label=name)
    counts = sorted({each.images for each in found})
    left.plot(counts, np.array(counts) * max(map(clock, found)) / counts[-1], ":", color="grey", label="linear")
    for axes, title in ((left, "seconds" if clock is WALL else "seconds of processors"), (right, "peak memory, MiB")):
        axes.set(xscale="log", yscale="log", xlabel="images", title=title)
        axes.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
