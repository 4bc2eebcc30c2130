"""What the dedupe stage found, in figures and in a picture."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ganpipe.corpus.images import grid
from ganpipe.dedupe.clusters import Clusters

GROUPS, MEMBERS, SCALE = 16, 12, 2  # of the picture


def bit_entropies(codes: np.ndarray) -> np.ndarray:
    """Entropy of each bit over the images, in bits: 1 for one set in half of them, 0 for a constant one."""
    share = np.unpackbits(codes, axis=1).mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = share * np.log2(share), (1 - share) * np.log2(1 - share)
    return 0.0 - np.nan_to_num(terms[0]) - np.nan_to_num(terms[1])


def figures(clusters: Clusters, codes: np.ndarray | None) -> dict[str, Any]:
    """Counts of images and groups; of the codes, the mean entropy of a bit and the number of constant bits."""
    sizes = np.bincount(clusters.cluster)
    found: dict[str, Any] = {
        "images": len(clusters.cluster),
        "kept": int(clusters.kept.sum()),
        "removed": int((~clusters.kept).sum()),
        "groups": int((sizes > 1).sum()),
        "largest_group": int(sizes.max()),
    }
    if codes is not None:
        entropies = bit_entropies(codes)
        found["bit_entropy_mean"] = round(float(entropies.mean()), 4)
        found["bit_entropy_min"] = round(float(entropies.min()), 4)
        found["constant_bits"] = int((entropies == 0).sum())
    return found


def picture(clusters: Clusters, read: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    """The biggest groups, one a row, the kept image first; `read` takes indices to uint8 (n, 32, 32, 3)."""
    sizes = np.bincount(clusters.cluster)
    biggest = [number for number in np.argsort(-sizes, kind="stable")[:GROUPS] if sizes[number] > 1]
    if not biggest:
        empty = Image.new("RGB", (360, 40), "white")
        ImageDraw.Draw(empty).text((10, 12), "no two images have the same code", fill="black")
        return empty
    rows = np.full((len(biggest) * MEMBERS, 32, 32, 3), 255, np.uint8)
    for row, number in enumerate(biggest):
        members = np.flatnonzero(clusters.cluster == number)
        members = members[np.argsort(~clusters.kept[members], kind="stable")][:MEMBERS]
        rows[row * MEMBERS : row * MEMBERS + len(members)] = read(members)
    return grid(rows, MEMBERS, SCALE, gap=2)
