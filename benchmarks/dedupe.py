"""Near-duplicates: images hashed a second, time of the pair search, and what each hash finds of planted copies.

    python benchmarks/dedupe.py [--quick] [--json PATH]

Copies are of the kinds called mild (JPEG at quality 75, resized by 0.8, shifted by 1/32), planted among all images of
the set; recall is at each hash's own best radius, the largest with at most 1 % false finds. The set is CIFAR-10's
training images where data/evaluation/cifar10 is there, and the 5,000 of tinyimagenet64 where GANPIPE_MIRROR has it.
"""

import os
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from reporting import arguments, report

from ganpipe.corpus.images import decode, square
from ganpipe.corpus.shards import Images
from ganpipe.dedupe import calibration, hashes
from ganpipe.dedupe.copies import plant
from ganpipe.dedupe.hamming import pairs_within
from ganpipe.dedupe.params import DedupeParams
from ganpipe.dedupe.perturb import MILD
from ganpipe.dedupe.projection import RESIZE, SIZE
from ganpipe.settings import load_params

METHODS = ("whitened", "autoencoder", "phash", "dhash", "whash")
BITS, PLANTED = 128, 1000
SEARCHES = ((100_000, 4), (1_000_000, 4), (3_000_000, 4), (3_000_000, 0), (100_000, 8), (100_000, 26))


def main() -> None:
    """Measure, print, write."""
    asked = arguments("How fast and how well near-duplicates are found")
    figures: dict[str, float] = {}
    for name, squares in sets(asked.quick).items():
        of_mild = {}
        for method in METHODS:
            params = load_params(DedupeParams, "dedupe").model_copy(update={"method": method, "code_bits": BITS})
            began = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                hashed = hashes.fit(params, squares, torch.device("cpu"), Path(folder))
            fitted = time.perf_counter() - began
            found, rate = mild(hashed.codes, squares, 100 if asked.quick else PLANTED)
            row = next(row for row in found.rows if row.perturbation == "all" and row.radius == found.radius)
            of_mild[method] = row.recall if found.holds else 0.0
            figures[f"{name}_{method}_images_per_second"] = rate
            figures[f"{name}_{method}_training_seconds"] = fitted
            figures[f"{name}_{method}_radius"] = found.radius
            figures[f"{name}_{method}_recall_mild"] = of_mild[method]
            figures[f"{name}_{method}_precision_mild"] = row.precision
        best = max(of_mild[peer] for peer in ("phash", "dhash"))
        figures[f"{name}_points_above_phash_and_dhash"] = 100 * (of_mild["whitened"] - best)
    for count, radius in SEARCHES[:1] if asked.quick else SEARCHES:
        seconds, pairs = search(count, radius)
        figures[f"search_{count}_within_{radius}_seconds"] = seconds
        figures[f"search_{count}_within_{radius}_pairs"] = pairs
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


def mild(
    codes: Callable[[np.ndarray], np.ndarray], squares: np.ndarray, count: int
) -> tuple[calibration.Calibration, float]:
    """What is found of planted copies, and the rate at which the set was hashed, images a second."""
    codes(squares[:4096])  # memory that is touched for the first time is slow
    began = time.perf_counter()
    held = codes(squares)
    rate = len(squares) / (time.perf_counter() - began)
    sample = np.sort(np.random.default_rng(0).permutation(len(squares))[:count])
    copies = plant(squares[sample], MILD, 0, lambda image: square(image, SIZE, RESIZE))
    planted = {name: codes(np.stack(each)) for name, each in copies.items()}
    largest = 8 * held.shape[1] // 4
    return calibration.calibrate(held, sample, planted, lambda places: squares[places], largest, 0.01), rate


def search(count: int, radius: int) -> tuple[float, int]:
    """Seconds of a search among random codes, one in a hundred of them a copy with up to two other bits; its pairs."""
    source = np.random.default_rng(0)
    codes = source.integers(0, 256, (count, BITS // 8), np.uint8)
    copies = count // 100
    codes[-copies:] = codes[:copies]
    for _ in range(2):
        places = source.integers(0, BITS // 8, copies)
        codes[np.arange(count - copies, count), places] ^= (1 << source.integers(0, 8, copies)).astype(np.uint8)
    began = time.perf_counter()
    found = pairs_within(codes, radius)
    return time.perf_counter() - began, len(found[0])


if __name__ == "__main__":
    main()
