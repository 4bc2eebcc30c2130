"""Whether memory stays bounded on a Ray cluster: N images and 10 N, through decoding, packing, hashing and features.

    GANPIPE_MIRROR=... python benchmarks/cluster.py [--quick] [--json PATH]

The cluster is two raylets of one core each, on this machine. Each size is a process of its own with a cluster of its
own; for each stage there are the peaks of the driver and of all workers together: resident memory (rss), what of that
no other process shares (uss), and what is theirs without the pages of files (own), which the kernel takes back where
others want them. A task is 64 images, and the object stores have a fixed size. The images are JPEGs of 128 pixels a
side, made of the mirror's `lfw250`, or without a mirror random scenes; pixels of 64 a side and features of a
discriminator of width 8 come of them. With them go the seconds on the cluster and on one machine, and whether all bytes
are the same.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image
from reporting import parser, report
from watched import own, watched

from ganpipe import files
from ganpipe.corpus import pack, shards
from ganpipe.corpus.params import PreprocessParams
from ganpipe.corpus.preprocess import preprocess
from ganpipe.corpus.shards import Images
from ganpipe.dedupe import hashes, projection
from ganpipe.dedupe.dedupe import Source
from ganpipe.dedupe.projection import Projection
from ganpipe.errors import entry
from ganpipe.evaluation import features
from ganpipe.evaluation.features import Levers, extract
from ganpipe.models.dcgan import Discriminator, initialise
from ganpipe.models.norm import freeze_statistics
from ganpipe.models.pixels import to_network
from ganpipe.settings import read_params

ROOT = Path(__file__).resolve().parent.parent
COUNT, QUICK, TIMES = 2_000, 600, 10  # images, and how many times as many the second time
BATCH = 64  # images of a task, or the fewer ones would be too few for a cluster
STORE = 128 << 20  # bytes of each machine's object store
SIDE, WIDTH, BITS = 128, 8, 128
CPU = torch.device("cpu")
MEMORY = {
    "own": own,
    "rss": lambda process: int(process.memory_info().rss),
    "uss": lambda process: int(process.memory_full_info().uss),
}


@entry
def main() -> None:
    """Measure, print, write; or, as its own child, one size."""
    made = parser("Memory on a Ray cluster, by the number of images")
    made.add_argument("--child", nargs=2, help="images, and the engine: what this script asks of itself")
    asked = made.parse_args()
    if asked.child is not None:
        print(json.dumps(one(int(asked.child[0]), asked.child[1])))
        return
    figures: dict[str, float] = {}
    few = QUICK if asked.quick else COUNT
    for count in (few, few * TIMES):
        found = {engine: child(count, engine) for engine in ("ray", "local")}
        for name, value in found["ray"].items():
            if not name.startswith("bytes_"):
                figures[f"{name}_{count}"] = value
        for name in ("pack", "preprocess", "hash", "features"):
            figures[f"{name}_local_seconds_{count}"] = found["local"][f"{name}_seconds"]
            figures[f"{name}_same_bytes_{count}"] = found["ray"][f"bytes_{name}"] == found["local"][f"bytes_{name}"]
    for name in [name for name in figures if "_mib_" in name and name.endswith(f"_{few}")]:
        grown = figures[f"{name.removesuffix(str(few))}{few * TIMES}"]
        figures[f"{name.removesuffix(f'_{few}')}_grows_by"] = grown / figures[name]
    report(figures, asked.json)


def child(count: int, engine: str) -> dict[str, Any]:
    """One size in a process of its own."""
    command = [sys.executable, __file__, "--child", str(count), engine]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def one(count: int, engine: str) -> dict[str, Any]:
    """Seconds, peaks of memory and digests of what came out, by stage."""
    held = photographs()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        Path("photos").mkdir()
        write(Path("photos"), held, count)
        try:
            if engine == "local":
                return stages()
            import ray
            from ray.cluster_utils import Cluster

            room: dict[str, Any] = {"num_cpus": 1, "object_store_memory": STORE}
            cluster = Cluster(initialize_head=True, head_node_args={**room, "include_dashboard": False})
            cluster.add_node(**room)
            os.environ |= {"GANPIPE_ENGINE": "ray", "RAY_ADDRESS": cluster.address}
            try:
                return stages()
            finally:
                ray.shutdown()
                cluster.shutdown()  # type: ignore[no-untyped-call]
        finally:
            os.chdir("/")


def stages() -> dict[str, Any]:
    """Each with its seconds, peaks and bytes."""
    found: dict[str, Any] = {}
    shards.BATCH = pack.BATCH = features.BATCH = projection.BLOCK = BATCH
    source = np.random.default_rng(0)
    learned = Projection(torch.from_numpy(source.normal(0, 1, (3072, BITS)).astype(np.float32)), torch.zeros(BITS))
    network = Discriminator(WIDTH, "dcgan64")
    initialise(network, torch.Generator().manual_seed(0))
    freeze_statistics(network, [to_network(torch.from_numpy(source.integers(0, 256, (64, 64, 64, 3), np.uint8)))])

    measured(found, "pack", lambda: pack.pack_folder("photos", Path("photos"), Path("raw")))
    found["bytes_pack"] = digest_of("raw")
    raw = Images(Path("raw"))
    given = {**read_params(ROOT / "params.yaml")["preprocess"], "side": 64, "resize": "antialias"}
    params = PreprocessParams.model_validate(given)
    measured(found, "preprocess", lambda: preprocess(params, raw, np.arange(len(raw)), Path("processed")))
    found["bytes_preprocess"] = digest_of("processed")
    codes = measured(found, "hash", lambda: hashes.projected(learned, Source.of(raw, "train").squares))
    found["bytes_hash"] = files.digest(codes.tolist())
    processed = Images(Path("processed"))
    pixels = np.load(processed.folder / "images-00000.npy", mmap_mode="c")
    taken = measured(found, "features", lambda: extract(network, pixels, CPU, "features", Levers(half=True)))
    found["bytes_features"] = files.digest([files.digest(row.tolist()) for row in taken.numpy()[::17]])
    return found


def measured(found: dict[str, Any], name: str, work: Callable[[], Any]) -> Any:
    """What `work` gives; its seconds and peaks go to `found`."""
    began = time.perf_counter()
    with watched(os.getpid(), part, MEMORY) as peaks:
        result = work()
    found[f"{name}_seconds"] = time.perf_counter() - began
    found |= {f"{name}_{key}_mib": held / 2**20 for key, held in sorted(peaks.items())}
    return result


def part(process: psutil.Process) -> str:
    """The driver, which is this process, and the workers, as Ray names them."""
    if process.pid == os.getpid():
        return "driver"
    return "workers" if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::") else ""


def digest_of(folder: str) -> str:
    """Of all files."""
    return files.digest([[path.name, files.sha256(path)] for path in sorted(Path(folder).iterdir())])


def photographs() -> list[Image.Image]:
    """What the files are made of."""
    paths = sorted((Path(os.environ.get("GANPIPE_MIRROR") or os.devnull) / "lfw250").glob("*.jpg"))
    if paths:
        return [Image.open(path).convert("RGB") for path in paths]
    source = np.random.default_rng(0)
    small = [Image.fromarray(source.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(200)]
    return [image.resize((250, 250), Image.Resampling.BICUBIC) for image in small]


def write(folder: Path, held: list[Image.Image], count: int) -> None:
    """`count` JPEGs, each another part of a photograph."""
    source = np.random.default_rng(1)
    for number in range(count):
        image = held[number % len(held)]
        wide = int(source.integers(100, min(image.size)))
        left, top = (int(source.integers(0, side - wide + 1)) for side in image.size)
        written = io.BytesIO()
        image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, (left, top, left + wide, top + wide)).save(
            written, "JPEG", quality=90
        )
        (folder / f"{number:06}.jpg").write_bytes(written.getvalue())


if __name__ == "__main__":
    main()
