"""Near-duplicates: images hashed a second, what each hash finds of copies, and the time of the whole stage.

    python benchmarks/dedupe.py [--quick] [--json PATH]

Copies are of the kinds called mild (JPEG at quality 75, resized by 0.8, shifted by 1/32), planted among all images of
the set; precision, recall and F1 are at each hash's own best radius, the largest with at most 1 % false finds. The sets
are CIFAR-10's training images where data/evaluation/cifar10 is there, and, where GANPIPE_MIRROR has them, the 5,000 of
tinyimagenet64; the stage runs on the 100,000 of imagenet32. The peers are imagehash and, where it is installed
(`uv pip install --no-deps imagededup tqdm`), imagededup.
"""

import importlib.util
import os
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from reporting import arguments, report

from ganpipe.corpus.images import decode, square
from ganpipe.corpus.shards import Images, write_encoded
from ganpipe.dedupe import calibration, hashes
from ganpipe.dedupe.copies import plant
from ganpipe.dedupe.dedupe import dedupe
from ganpipe.dedupe.params import DedupeParams
from ganpipe.dedupe.perturb import MILD
from ganpipe.dedupe.projection import RESIZE, SIZE
from ganpipe.errors import entry
from ganpipe.runtime import map_batches
from ganpipe.settings import load_params

METHODS = ("whitened", "autoencoder", "phash", "dhash", "whash")
PEERS = ("PHash", "DHash", "WHash", "AHash")  # of imagededup
BITS, PLANTED = 128, 1000

Hashing = Callable[[np.ndarray], np.ndarray]  # uint8 (n, 32, 32, 3) to codes, uint8 (n, B/8)


@entry
def main() -> None:
    """Measure, print, write."""
    asked = arguments("How fast and how well near-duplicates are found")
    figures: dict[str, float] = {}
    count = 100 if asked.quick else PLANTED
    for name, squares in sets(asked.quick).items():
        for method in METHODS:
            params = load_params(DedupeParams, "dedupe").model_copy(update={"method": method, "code_bits": BITS})
            began = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                hashed = hashes.fit(params, squares, torch.device("cpu"), Path(folder))
            figures[f"{name}_{method}_training_seconds"] = time.perf_counter() - began
            figures |= mild(f"{name}_{method}", hashed.codes, squares, count)
        for peer in PEERS if importlib.util.find_spec("imagededup") else ():
            figures |= mild(f"{name}_imagededup_{peer.lower()}", partial(imagededup, peer), squares, count)
        best = max(figures[f"{name}_{peer}_recall_mild"] for peer in ("phash", "dhash"))
        figures[f"{name}_points_above_phash_and_dhash"] = 100 * (figures[f"{name}_whitened_recall_mild"] - best)
    if (mirrored := Path(os.environ.get("GANPIPE_MIRROR") or os.devnull) / "imagenet32").is_dir():
        figures |= stage(mirrored, 1000 if asked.quick else 100_000)
    figures["peak_memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    report(figures, asked.json)


def sets(quick: bool) -> dict[str, np.ndarray]:
    """Squares, uint8 (N, 32, 32, 3), of each set that is at hand."""
    found = {}
    cifar, mirror = Path("data/evaluation/cifar10"), os.environ.get("GANPIPE_MIRROR", "")
    if cifar.is_dir():
        images = Images(cifar)
        found["cifar10"] = images.pixels(images.rows("train"))
    for path in sorted(Path(mirror or os.devnull).glob("tinyimagenet64/*.tar")):
        with tarfile.open(path) as tar:
            files = (tar.extractfile(member) for member in tar if member.name.endswith(".jpg"))
            found["tinyimagenet64"] = np.stack(
                [square(decode(file.read()), SIZE, RESIZE) for file in files if file is not None]
            )
    if not found:
        sys.exit(
            "there is no set to measure on: run `make repro`, or name a mirror with tinyimagenet64 in GANPIPE_MIRROR"
        )
    return {name: squares[:2000] for name, squares in found.items()} if quick else found


def mild(name: str, codes: Hashing, squares: np.ndarray, count: int) -> dict[str, float]:
    """What is found of planted copies at the best radius, and the rate at which the set was hashed, images a second."""
    codes(squares[:4096])  # memory that is touched for the first time is slow
    began = time.perf_counter()
    held = codes(squares)
    rate = len(squares) / (time.perf_counter() - began)
    sample = np.sort(np.random.default_rng(0).permutation(len(squares))[:count])
    copies = plant(squares[sample], MILD, 0, lambda image: square(image, SIZE, RESIZE))
    planted = {kind: codes(np.stack(each)) for kind, each in copies.items()}
    largest = 8 * held.shape[1] // 4
    found = calibration.calibrate(held, sample, planted, lambda places: squares[places], largest, 0.01)
    row = next(row for row in found.rows if row.perturbation == "all" and row.radius == found.radius)
    recall = row.recall if found.holds else 0.0  # no radius keeps the bound
    return {
        f"{name}_images_per_second": rate,
        f"{name}_radius": found.radius,
        f"{name}_precision_mild": row.precision,
        f"{name}_recall_mild": recall,
        f"{name}_f1_mild": 2 * row.precision * recall / (row.precision + recall),
    }


def imagededup(name: str, squares: np.ndarray) -> np.ndarray:
    """Codes by imagededup's hash of that name, in the same pool of processes as imagehash's."""
    parts = [squares[start : start + hashes.BATCH] for start in range(0, len(squares), hashes.BATCH)]
    return np.concatenate(list(map_batches(partial(_imagededup, name), parts, len(parts))))


def _imagededup(name: str, squares: np.ndarray) -> np.ndarray:
    from imagededup import methods  # type: ignore[import-untyped,import-not-found,unused-ignore]

    hasher = getattr(methods, name)(verbose=False)
    return np.stack([np.frombuffer(bytes.fromhex(hasher.encode_image(image_array=each)), np.uint8) for each in squares])


def stage(parquets: Path, count: int) -> dict[str, float]:
    """Seconds of the whole stage on so many JPEGs of a mirrored imagenet32, as the settings are, with all it writes."""
    import pyarrow.parquet as pq

    params = load_params(DedupeParams, "dedupe")
    with tempfile.TemporaryDirectory() as folder:
        held: Iterator[tuple[str, bytes, dict[str, str], None]] = (
            ("jpg", row["bytes"], {}, None)
            for path in sorted(parquets.glob("*.parquet"))
            for row in pq.read_table(path, columns=["image"])["image"].to_pylist()
        )
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        about = {"name": "imagenet32", "splits": {"train": [0, count]}}
        write_encoded(corpus, (row for _, row in zip(range(count), held, strict=False)), about)
        began = time.perf_counter()
        found = dedupe(params, Images(corpus), [], "train", torch.device("cpu"), Path(folder, "out"))
        seconds = time.perf_counter() - began
    return {f"stage_{count}_seconds": seconds, **{f"stage_{key}": found[key] for key in ("removed", "radius")}}


if __name__ == "__main__":
    main()
