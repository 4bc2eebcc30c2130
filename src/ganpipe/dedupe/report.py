"""What the dedupe stage found, in figures, in a table and in a picture."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from ganpipe.corpus.images import grid
from ganpipe.dedupe.clusters import Clusters
from ganpipe.dedupe.keep import KEEP

GROUPS, MEMBERS, SCALE = 16, 12, 2  # of the picture


def bit_entropies(codes: np.ndarray) -> np.ndarray:
    """Entropy of each bit over the images, in bits: 1 for one set in half of them, 0 for a constant one."""
    share = np.unpackbits(codes, axis=1).mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = share * np.log2(share), (1 - share) * np.log2(1 - share)
    return 0.0 - np.nan_to_num(terms[0]) - np.nan_to_num(terms[1])


def figures(clusters: Clusters, codes: np.ndarray | None, tests: Mapping[str, int]) -> dict[str, Any]:
    """Counts of images and groups; of the codes, the mean entropy of a bit, and how many are constant, and never set.

    `tests` are the numbers of test images by evaluation set, in the order in which they were given to `group`.
    """
    sizes, count = np.bincount(clusters.cluster), len(clusters.cluster)
    leaked = clusters.leaked
    in_leaks = np.bincount(clusters.cluster[leaked], minlength=len(sizes)) > 0
    found: dict[str, Any] = {
        "images": count,
        "kept": int(clusters.kept.sum()),
        "removed": int((~clusters.kept).sum()),
        "duplicates": int((~clusters.kept & ~leaked).sum()),
        "leaks": int(leaked.sum()),
        "groups": int(((sizes > 1) & ~in_leaks).sum()),
        "largest_group": int(sizes.max()),
    }
    start = count
    for name, number in tests.items():
        of_set = clusters.representative[
            (clusters.representative >= start) & (clusters.representative < start + number)
        ]
        found[f"leaks_{name}"], found[f"leaked_test_images_{name}"] = len(of_set), len(np.unique(of_set))
        start += number
    if codes is not None:
        entropies = bit_entropies(codes)
        found["distinct_codes"] = len(np.unique(np.ascontiguousarray(codes).view(f"V{codes.shape[1]}")))
        found["bit_entropy_mean"] = round(float(entropies.mean()), 4)
        found["bit_entropy_min"] = round(float(entropies.min()), 4)
        found["constant_bits"] = int((entropies == 0).sum())
        found["dead_bits"] = int((~np.unpackbits(np.bitwise_or.reduce(codes, axis=0)).astype(bool)).sum())
    return found


def sentences(figures: Mapping[str, Any], tests: Mapping[str, int]) -> list[str]:
    """What a person wants to know of them."""
    told = [
        f"kept {figures['kept']:,} of {figures['images']:,} images; groups of duplicates: {figures['groups']:,} "
        f"(codes within {figures['radius']} bits)"
    ]
    for name, number in tests.items():
        if figures[f"leaks_{name}"]:
            told.append(
                f"leakage: {figures[f'leaks_{name}']:,} images removed that are near-duplicates of "
                f"{figures[f'leaked_test_images_{name}']:,} of the {number:,} test images of {name}"
            )
    if figures.get("bound_broken"):
        told.append(
            "warning: even of images with equal codes more are different ones than dedupe.most_false allows: choose "
            "another dedupe.method"
        )
    if figures.get("constant_bits"):
        told.append(f"warning: {figures['constant_bits']} bits of the hash are the same for every image")
    return told


def write_keep(folder: Path, rows: np.ndarray, clusters: Clusters, tests: Sequence[tuple[str, np.ndarray]]) -> None:
    """Write it for images of the indices `rows`, (N,); `tests` are the names of test sets and their images' indices."""
    leaked = clusters.leaked
    named = [f"{name} test #{index}" for name, indices in tests for index in (indices - indices[:1]).tolist()]
    columns = {
        "index": rows,
        "cluster": clusters.cluster,
        "representative": np.where(leaked, -1, rows[np.where(leaked, 0, clusters.representative)]),
        "distance": clusters.distance,
        "kept": clusters.kept,
        "leak": pa.array(
            [named[number - len(rows)] if number >= len(rows) else None for number in clusters.representative.tolist()],
            pa.string(),
        ),
    }
    pq.write_table(pa.table(columns), folder / KEEP)


def picture(clusters: Clusters, read: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    """The biggest groups, one a row, what stays first; `read` takes numbers of `Clusters` to uint8 (n, 32, 32, 3)."""
    sizes = np.bincount(clusters.cluster)
    alone = np.bincount(clusters.cluster[clusters.leaked], minlength=len(sizes)) > 0  # with a test image
    biggest = [number for number in np.argsort(-sizes, kind="stable")[:GROUPS] if sizes[number] > 1 or alone[number]]
    if not biggest:
        empty = Image.new("RGB", (360, 40), "white")
        ImageDraw.Draw(empty).text((10, 12), "no two images are near-duplicates", fill="black")
        return empty
    rows = np.full((len(biggest) * MEMBERS, 32, 32, 3), 255, np.uint8)
    for row, number in enumerate(biggest):
        members = np.flatnonzero(clusters.cluster == number)
        stays = clusters.representative[members[0]]
        members = np.concatenate([[stays], members[members != stays]])[:MEMBERS]
        rows[row * MEMBERS : row * MEMBERS + len(members)] = read(members)
    return grid(rows, MEMBERS, SCALE, gap=2)
