"""All pairs of binary codes within a Hamming radius, exactly.

Cut the bits into radius + 1 bands: two codes that differ in at most `radius` bits agree in at least one band
(pigeonhole). So candidates are the codes that share a band, found by sorting, and each is then verified. Where too many
would, the bits are cut into radius + t bands, in t of which such codes agree; and where many still do, because those
bits hardly vary, the same is done among them with the other bits. A pair is taken where it first agrees, and so once.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from ganpipe import files
from ganpipe.dedupe.bands import (
    Known,
    Runs,
    agreeing_in,
    as_words,
    choose_bands,
    differences_within,
    hashed,
    numbered,
    survey,
)
from ganpipe.dedupe.search import Found, Pairs, Search, search_all
from ganpipe.runtime import engine

MAX_PAIRS = 1 << 25
MEMORY = 2 << 30  # bytes
BLOCK = 1 << 18  # codes read at a time
ROW_BYTES = 96  # that a search holds for each code, besides the code
LARGEST_SPLIT = 512  # parts on disk, each an open file


def pairs_within(codes: np.ndarray, radius: int, max_pairs: int = MAX_PAIRS, memory: int = MEMORY) -> Pairs:
    """All i < j with at most `radius` differing bits among `codes`, uint8 (N, B/8): i, j (int64), distance (uint16).

    Sorted by i, then j. Equal codes are pairs too: where there may be many of them, search among the distinct ones.
    Codes whose search would take more than `memory` bytes, themselves not counted (a memory map takes none), go through
    files in parts, or with GANPIPE_ENGINE=ray over the cluster; pairs take 40 bytes each. A UserError where there are
    more than `max_pairs`.
    """
    if codes.ndim != 2 or codes.dtype != np.uint8 or codes.shape[1] == 0:
        raise ValueError(f"codes must be packed uint8 rows, not {codes.dtype} of shape {codes.shape}")
    if radius < 0:
        raise ValueError(f"radius must not be negative: {radius}")
    if max_pairs < 0 or memory < 1:
        raise ValueError(f"max_pairs and memory must be positive, not {max_pairs} and {memory}")
    found = Found(radius, max_pairs)
    words = -(-codes.shape[1] // 8)
    every, none = np.full(words, ~np.uint64(0)), np.zeros(words, np.uint64)
    limit = max(2, memory // (ROW_BYTES + 8 * words))
    if len(codes) <= limit:
        Search(as_words(codes), None, found).among(Runs.of(len(codes)), Known(every, none, ()))
    elif engine() == "ray":
        from ganpipe.dedupe import shuffle

        shuffle.search(codes, found)
    else:
        with files.scratch() as folder:
            _in_parts(partial(numbered, codes, BLOCK), len(codes), Known(every, none, ()), found, limit, folder)
    return found.sorted()


def _in_parts(
    read: Callable[[], Iterator[np.ndarray]], count: int, known: Known, found: Found, limit: int, folder: Path
) -> None:
    """What `Search.among` does with `count` codes, for each band with files of codes that may agree in it.

    `read` gives blocks as `numbered` makes them. A file of at most `limit` codes is searched in memory, another is
    divided again.
    """
    varying, some = survey(read(), count)
    free = known.free & varying
    if np.bitwise_count(free).sum() <= found.radius:
        found.expect(count * (count - 1) // 2 if not known.agreed.any() else 0)
        return search_all(read(), known, found)
    bands = choose_bands(differences_within(some, np.array([len(some)])), free, found.radius + 1)
    for number in range(len(bands)):
        _, further = agreeing_in((number,), bands, free, known)
        for part in _scattered(read(), further.agreed, -(-2 * count // limit), folder):
            rows = part.stat().st_size // (8 * (1 + len(free)))
            again = partial(_blocks, part, len(free))
            if rows > limit:
                _in_parts(again, rows, further, found, limit, folder)
            else:
                search_all(again(), further, found)
            part.unlink()
    return None


def _scattered(blocks: Iterator[np.ndarray], mask: np.ndarray, parts: int, folder: Path) -> Iterator[Path]:
    """Files of the blocks' rows, those that agree where `mask` says in one file; each is there until the next."""
    bits = (min(parts, LARGEST_SPLIT) - 1).bit_length()
    with tempfile.TemporaryDirectory(dir=folder) as inner, ExitStack() as opened:
        paths = [Path(inner) / f"{number:04}" for number in range(1 << bits)]
        outputs = [opened.enter_context(path.open("wb")) for path in paths]
        for block in blocks:
            # Not the bits that `sharing` sorts by.
            part = hashed(block[:, 1:] & mask) & np.uint64((1 << bits) - 1)
            order = np.argsort(part, kind="stable")
            ends = np.searchsorted(part[order], np.arange((1 << bits) + 1, dtype=np.uint64))
            ordered = block[order]
            for number, output in enumerate(outputs):
                output.write(ordered[ends[number] : ends[number + 1]].data)
        opened.close()
        for path in paths:
            if path.stat().st_size:
                yield path


def _blocks(path: Path, words: int) -> Iterator[np.ndarray]:
    """A file's rows, in blocks."""
    rows = np.memmap(path, np.uint64, "r").reshape(-1, 1 + words)
    for start in range(0, len(rows), BLOCK):
        yield np.array(rows[start : start + BLOCK])
