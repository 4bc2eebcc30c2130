"""The search for near codes on a Ray cluster: for each band, codes that may agree in it meet in one part.

What `hamming` does with files, one band after another, is done here with all bands at once: every code goes to
radius + 1 parts, one for each band, and each part is searched by itself.
"""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ganpipe.cluster import connect, failures
from ganpipe.dedupe.bands import Known, agreeing_in, choose_bands, differences_within, hashed, numbered, survey
from ganpipe.dedupe.search import Found, search_all

BLOCK = 1 << 20  # codes sent together, and about half as many searched together
MOST_PARTITIONS = 256  # of the shuffle, for each band

Table = dict[str, np.ndarray]


def search(codes: np.ndarray, found: Found) -> None:
    """Find all pairs among packed codes, uint8 (N, B/8). UserError where they are more than may be found."""
    free, some = survey(numbered(codes, BLOCK), len(codes))
    if np.bitwise_count(free).sum() <= found.radius:
        found.expect(len(codes) * (len(codes) - 1) // 2)  # each is one
        return search_all(numbered(codes, BLOCK), Known(free, np.zeros_like(free), ()), found)
    bands = choose_bands(differences_within(some, np.array([len(some)])), free, found.radius + 1)
    parts = -(-2 * len(codes) // BLOCK)

    connect()
    import ray

    sent: list[Any] = [ray.put(pa.table(_columns(block))) for block in numbered(codes, BLOCK)]
    pairs = (
        ray.data.from_arrow_refs(sent)
        .map_batches(partial(_placed, bands, parts), batch_format="numpy", batch_size=None)
        .groupby("part", num_partitions=len(bands) * min(parts, MOST_PARTITIONS))
        .map_groups(partial(_searched, bands, free, parts, found.radius, found.most), batch_format="numpy")
    )
    with failures():
        for batch in pairs.iter_batches(batch_format="numpy", batch_size=None):
            if batch:
                found.add(batch["i"], batch["j"], batch["distance"])
    return None


def _columns(records: np.ndarray) -> Table:
    """The first is the code's number, the others are its words."""
    return {f"{number}": np.ascontiguousarray(column) for number, column in enumerate(records.T)}


def _records(table: Table, words: int) -> np.ndarray:
    return np.column_stack([table[f"{number}"] for number in range(1 + words)])


def _placed(bands: list[np.ndarray], parts: int, table: Table) -> Table:
    """Each code once for each band, with the part that all codes meet in which agree in that band."""
    words = _records(table, len(bands[0]))[:, 1:]
    part = [
        number * parts + (hashed(words & band) % np.uint64(parts)).astype(np.int64) for number, band in enumerate(bands)
    ]
    return {**{name: np.tile(column, len(bands)) for name, column in table.items()}, "part": np.concatenate(part)}


def _searched(bands: list[np.ndarray], free: np.ndarray, parts: int, radius: int, most: int, table: Table) -> Table:
    """The pairs of one part that agree in its band, and in none before."""
    number = int(table["part"][0]) // parts
    nothing = np.zeros_like(free)
    _, known = agreeing_in((number,), bands, free, Known(free, nothing, ()))
    records = _records(table, len(free))
    found = Found(radius, most)
    search_all(iter([records[np.argsort(records[:, 0])]]), known, found)
    i, j, distance = found.sorted()
    return {"i": i, "j": j, "distance": distance}
