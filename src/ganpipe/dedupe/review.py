"""What the review page is given: the groups that were found, each image with its name, its digest and a thumbnail."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from ganpipe.dedupe.clusters import Clusters
from ganpipe.dedupe.gallery import MEMBERS, Group, Shown


def groups(clusters: Clusters, show: Callable[[int, int], Shown]) -> Iterator[Group]:
    """Those of two images or more, worst first, with as much of them as the page has room for, what stays first.

    `show` takes an image's number in `clusters`, and its bits; it is called for no other images.
    """
    removed, starts, farthest, sizes = _runs(clusters)
    for number in np.lexsort((np.arange(len(starts)), -sizes, -farthest)):
        members = removed[starts[number] : starts[number] + sizes[number]]
        members = members[np.argsort(-clusters.distance[members].astype(np.int64), kind="stable")][: MEMBERS - 1]
        kept = show(int(clusters.representative[members[0]]), 0)
        others = [show(int(place), int(clusters.distance[place])) for place in members]
        yield Group("leak" if clusters.leaked[members[0]] else "duplicates", [kept, *others], 1 + int(sizes[number]))


def counts(clusters: Clusters) -> Counter[str]:
    """How many groups there are of each kind."""
    removed, starts, _, _ = _runs(clusters)
    leaks = int(clusters.leaked[removed[starts]].sum())
    return Counter({"leak": leaks, "duplicates": len(starts) - leaks})


def _runs(clusters: Clusters) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The removed images, those that go for one image together; where each such run starts, its farthest, its size."""
    removed = np.flatnonzero(~clusters.kept)
    removed = removed[np.argsort(clusters.representative[removed], kind="stable")]
    stays = clusters.representative[removed]
    starts = np.flatnonzero(np.diff(stays, prepend=-1)) if len(stays) else np.empty(0, np.int64)
    far = np.maximum.reduceat(clusters.distance[removed], starts) if len(stays) else np.empty(0, np.uint16)
    return removed, starts, far.astype(np.int64), np.diff(starts, append=len(removed))


def key(square: np.ndarray) -> str:
    """The digest by which vetoes tell an image: of its square, uint8 (32, 32, 3)."""
    return hashlib.blake2b(np.ascontiguousarray(square).tobytes(), digest_size=8).hexdigest()
