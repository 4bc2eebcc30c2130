"""The search for near codes: seconds by their number and the radius, in memory, through files, and beside imagededup's.

    python benchmarks/near_codes.py [--quick] [--large] [--json PATH]

Codes are random, one in a hundred of them a copy of another with up to two other bits. `--large` goes on to 100
million through files (5 GB of disk, ten minutes) and fits seconds = a N^b to what it measured. imagededup takes part
where it is installed (`uv pip install --no-deps imagededup tqdm`).
"""

import importlib.util
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from reporting import parser, report

from ganpipe import files
from ganpipe.dedupe.hamming import pairs_within

WIDTH = 16  # bytes of a code
IN_MEMORY = ((100_000, 4), (1_000_000, 4), (3_000_000, 4), (3_000_000, 0), (100_000, 8), (100_000, 26))
THROUGH_FILES = (3_000_000, 10_000_000, 30_000_000, 100_000_000)
RADIUS, MEMORY = 4, 1 << 30  # bits; bytes that a search through files may take
BILLION = 1_000_000_000
PEER = 20_000  # codes that imagededup searches: its time grows with the square of them


def main() -> None:
    """Measure, print, write."""
    wanted = parser("How fast near codes are found")
    wanted.add_argument("--large", action="store_true", help="up to 100 million codes, through files")
    asked = wanted.parse_args()
    figures: dict[str, float] = {}
    for count, radius in IN_MEMORY[:1] if asked.quick else IN_MEMORY:
        seconds, pairs = search(random_codes(count, WIDTH), radius, 2 << 30)
        figures[f"{count}_within_{radius}_seconds"], figures[f"{count}_within_{radius}_pairs"] = seconds, pairs
    figures["peak_memory_gib"] = peak()
    if importlib.util.find_spec("imagededup"):
        figures |= beside_imagededup(1000 if asked.quick else PEER)
    if asked.large:
        figures |= through_files((100_000, 300_000) if asked.quick else THROUGH_FILES)
    report(figures, asked.json)


def through_files(counts: tuple[int, ...]) -> dict[str, float]:
    """Seconds and peaks by the number of codes, which lie in a file, and how they grow."""
    figures, taken = {}, []
    for count in counts:
        # Each in a process of its own, for a process's peak is that of all it ever did.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
            seconds, pairs, most = fresh.submit(_through_files, count).result()
        taken.append(seconds)
        figures[f"{count}_through_files_seconds"], figures[f"{count}_through_files_pairs"] = seconds, pairs
        figures[f"{count}_through_files_peak_gib"] = most
    slope, start = np.polyfit(np.log(counts), np.log(taken), 1)
    figures["growth_exponent"] = float(slope)
    figures["growth_largest_error_per_cent"] = 100 * float(
        np.abs(np.exp(start + slope * np.log(counts)) / taken - 1).max()
    )
    figures["billion_by_the_fit_hours"] = float(np.exp(start + slope * np.log(BILLION))) / 3600
    return figures


def _through_files(count: int) -> tuple[float, int, float]:
    codes = files.scratch_array((count, WIDTH), np.uint8)
    random_codes(count, WIDTH, codes)
    return *search(codes, RADIUS, min(MEMORY, 48 * count)), peak()


def beside_imagededup(count: int) -> dict[str, float]:
    """Seconds of one search among random 64-bit codes, a hundredth of them copies, by both, and the pairs of both."""
    from imagededup.methods import PHash  # type: ignore[import-untyped,import-not-found,unused-ignore]

    codes = random_codes(count, 8)
    named = {f"{number}": code.tobytes().hex() for number, code in enumerate(codes)}
    began = time.perf_counter()
    found = PHash(verbose=False).find_duplicates(encoding_map=named, max_distance_threshold=4)
    theirs = time.perf_counter() - began
    began = time.perf_counter()
    pairs = pairs_within(codes, 4)
    return {
        f"{count}_of_64_bits_seconds": time.perf_counter() - began,
        f"{count}_of_64_bits_pairs": len(pairs[0]),
        f"{count}_of_64_bits_imagededup_seconds": theirs,
        f"{count}_of_64_bits_imagededup_pairs": sum(map(len, found.values())) / 2,
    }


def search(codes: np.ndarray, radius: int, memory: int) -> tuple[float, int]:
    """Seconds of a search, and its pairs."""
    began = time.perf_counter()
    found = pairs_within(codes, radius, memory=memory)
    return time.perf_counter() - began, len(found[0])


def random_codes(count: int, width: int, out: np.ndarray | None = None) -> np.ndarray:
    """Random, uint8 (count, width), one in a hundred of them a copy of another with up to two other bits."""
    source = np.random.default_rng(0)
    codes = np.empty((count, width), np.uint8) if out is None else out
    for start in range(0, count, 1 << 20):
        codes[start : start + (1 << 20)] = source.integers(0, 256, codes[start : start + (1 << 20)].shape, np.uint8)
    copies = count // 100
    codes[-copies:] = codes[:copies]
    for _ in range(2):
        places = source.integers(0, width, copies)
        codes[np.arange(count - copies, count), places] ^= (1 << source.integers(0, 8, copies)).astype(np.uint8)
    return codes


def peak() -> float:
    """Of this process so far, GiB, with the pages of mapped files."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
