"""What the review page is given: the groups that were found, each image with its name, its digest and a thumbnail."""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from ganpipe.dedupe.clusters import Clusters
from ganpipe.dedupe.gallery import Group, Shown


def groups(clusters: Clusters, show: Callable[[int, int], Shown]) -> Iterator[Group]:
    """Those of two images or more, what stays first. `show` takes an image's number in `clusters`, and its bits."""
    removed = np.flatnonzero(~clusters.kept)
    removed = removed[np.argsort(clusters.representative[removed], kind="stable")]
    for members in np.split(removed, np.flatnonzero(np.diff(clusters.representative[removed])) + 1):
        if len(members):
            leak = bool(clusters.leaked[members[0]])
            kept = show(int(clusters.representative[members[0]]), 0)
            others = [show(int(place), int(clusters.distance[place])) for place in members]
            yield Group("leak" if leak else "duplicates", [kept, *others])


def key(square: np.ndarray) -> str:
    """The digest by which vetoes tell an image: of its square, uint8 (32, 32, 3)."""
    return hashlib.blake2b(np.ascontiguousarray(square).tobytes(), digest_size=8).hexdigest()
