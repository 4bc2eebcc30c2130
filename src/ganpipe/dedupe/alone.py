"""Near-duplicates in a folder of images, apart from any pipeline: which may go, and a page on which to look at them.

Nothing is deleted. An index remembers what has been hashed, so that new images are compared with those of before, and
only they are read.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganpipe import files
from ganpipe.corpus.download import sort_out, text, walk
from ganpipe.corpus.shards import Images
from ganpipe.dedupe import copies, gallery, hashes, likeness, policies, projection, report, review, whitened
from ganpipe.dedupe.clusters import Clusters, group
from ganpipe.dedupe.projection import RESIZE, SIZE
from ganpipe.errors import UserError
from ganpipe.manifest import SCHEMA
from ganpipe.progress import Progress

Hashing = Callable[[np.ndarray], np.ndarray]  # uint8 (n, 32, 32, 3) to codes, uint8 (n, B/8)
METHODS = ("whitened", *hashes.PERCEPTUAL)
PLANTED, MOST_FALSE = 300, 0.01  # images whose copies measure the hash; share of false finds in the chosen radius
AMONG = 20_000  # images, at most, that they are planted among
THUMBNAIL = 96  # pixels
INDEX, CODES, ENCODER = "index.json", "codes.npy", "encoder.safetensors"


class Wanted(NamedTuple):
    """What a person asks for."""

    method: str
    bits: int  # of the code, where the method lets it be chosen
    radius: int | None  # bits; None for the largest with few enough false finds
    verify: bool  # whether pixels are compared, too
    keep: str  # as `policies.order` takes it
    seed: int


class Found(NamedTuple):
    """Groups of the images below a folder and of those that an index knows elsewhere."""

    images: "Files"  # those below the folder, then the others
    clusters: Clusters  # of the former; the latter stay in any case
    radius: int  # bits
    hashed: int  # images that were read, and not taken from the index
    rejected: list[dict[str, str]]  # files that are no usable images, with reasons


class Mark(NamedTuple):
    """What a file is known by: a changed one is another."""

    path: str  # absolute
    size: int
    time: int  # of its last change, ns


class Index(NamedTuple):
    """What was hashed before, and how."""

    radius: int
    marks: list[Mark]
    codes: np.ndarray  # uint8 (N, B/8)
    hashing: Hashing


class Files(Images):
    """Image files where they lie, by their absolute paths, read like a corpus that was packed."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.folder, self.manifest = Path("/"), {"name": "files", "container": "encoded"}
        self.count, self.splits, self.classes, self.paths = len(paths), {}, [], list(paths)

    def names(self, indices: np.ndarray) -> list[str]:
        """Their paths, without the first slash."""
        return [text(self.paths[index]).lstrip("/") for index in indices.tolist()]

    def _locate(self, index: int) -> tuple[Path, int, int]:
        return Path(self.paths[index]), 0, -1


def find(root: Path, wanted: Wanted, index: Path | None) -> Found:
    """Groups of near-duplicates among the images below `root`, and of such as the folder `index` knows from before.

    The index is made, or renewed: files that are gone are forgotten. UserError where there is nothing to compare, and
    where the index was made with another method.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder")
    root = root.resolve()
    before = read_index(index, wanted) if index is not None and (index / INDEX).exists() else None

    # What is known, and what is new.
    here = [_mark(root / name) for name in sorted(walk(root))]
    held = {mark: place for place, mark in enumerate(before.marks)} if before else {}
    below = f"{root}/"
    outside = [mark for mark in held if not mark.path.startswith(below) and _mark(Path(mark.path)) == mark]
    old = [mark for mark in here if mark in held]
    by_name = {mark.path.removeprefix(below): mark for mark in here if mark not in held}
    usable, rejected = sort_out(root, list(by_name))
    inside = [*old, *(by_name[name] for name in usable)]  # those of before first: what was kept then is kept now
    if not inside:
        raise UserError(f"none of the {len(here)} files in {root} is a usable image")
    images = Files([mark.path for mark in (*inside, *outside)])

    def squares(rows: np.ndarray) -> np.ndarray:
        return np.concatenate(list(images.squares(rows, SIZE, RESIZE)))

    # The codes.
    fresh = np.arange(len(old), len(inside))
    hashing, learned = (before.hashing, None) if before else _hash(wanted, len(inside), squares)
    new = _codes(hashing, images, fresh)
    if before is not None:
        known = [before.codes[np.array([held[mark] for mark in marks], np.int64)] for marks in (old, outside)]
        codes, others = np.concatenate([known[0], *new]), known[1]
    else:
        codes = np.concatenate(new)
        others = codes[:0]
    if wanted.radius is not None:
        radius = wanted.radius
    elif before is not None:
        radius = before.radius
    else:
        radius = copies.measure(
            images,
            np.arange(len(inside)),
            codes,
            hashing,
            squares,
            count=PLANTED,
            among=AMONG,
            seed=wanted.seed,
            most_false=MOST_FALSE,
            radius=None,
            verify=wanted.verify,
        ).radius

    # The groups.
    order = policies.order(wanted.keep, images, np.arange(len(inside)), root)
    verify = (lambda i, j: likeness.verify(i, j, squares)) if wanted.verify else None
    clusters = group(codes, radius, order, others, verify=verify)
    if index is not None:
        encoder = (index / ENCODER).read_bytes() if before and (index / ENCODER).exists() else None
        with files.atomic_folder(index) as draft:
            if learned is not None:
                projection.save(draft / ENCODER, learned)
            elif encoder is not None:
                (draft / ENCODER).write_bytes(encoder)
            files.save_array(draft / CODES, np.concatenate([codes, others]))
            about = {"schema": SCHEMA, "method": wanted.method, "radius": radius}
            # In ASCII: a path may hold bytes that are no text.
            (draft / INDEX).write_text(json.dumps({**about, "files": [*inside, *outside]}), encoding="ascii")
    return Found(images, clusters, radius, len(fresh), rejected)


def read_index(folder: Path, wanted: Wanted) -> Index:
    """What `find` left there; a UserError where it is damaged or of another method."""
    try:
        about: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if about["schema"] != SCHEMA or about["method"] not in METHODS:
            raise ValueError("unknown form")
        marks = [Mark(str(path), int(size), int(time)) for path, size, time in about["files"]]
        codes = np.load(folder / CODES)
        if codes.dtype != np.uint8 or codes.ndim != 2 or len(codes) != len(marks):
            raise ValueError("codes of another form")
        radius = int(about["radius"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} holds no index that can be read ({error}): remove it, and it is made anew") from None
    if about["method"] != wanted.method:
        raise UserError(f"the index {folder} was made with {about['method']}, not {wanted.method}: name another folder")
    if wanted.method in hashes.PERCEPTUAL:
        return Index(radius, marks, codes, partial(hashes.perceptual, wanted.method))
    return Index(radius, marks, codes, projection.load(folder / ENCODER).codes)


def sentences(found: Found) -> list[str]:
    """What a person wants to know."""
    figures = report.figures(found.clusters, None, {})
    told = [
        f"{figures['removed']:,} of {figures['images']:,} images are near-duplicates of one that stays "
        f"(codes within {found.radius} bits); {found.hashed:,} were hashed now"
    ]
    if found.rejected:
        reasons = Counter(each["reason"] for each in found.rejected)
        told.append("set aside: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common()))
    return told


def write_list(path: Path, found: Found) -> int:
    """The paths of the files that may go, a line each, worst first; how many are left out for a line end in a name."""
    going = np.flatnonzero(~found.clusters.kept)
    going = going[np.lexsort((going, -found.clusters.distance[going].astype(np.int64)))]
    paths = [found.images.paths[place] for place in going]
    plain = [name for name in paths if "\n" not in name]
    with files.atomic(path) as draft:
        draft.write_bytes(b"".join(name.encode("utf-8", "surrogateescape") + b"\n" for name in plain))
    return len(paths) - len(plain)


def write_page(path: Path, found: Found, root: Path, method: str) -> None:
    """The page on which to look at the groups."""

    def show(number: int, distance: int) -> gallery.Shown:
        at = np.array([number])
        thumbnail = next(found.images.squares(at, THUMBNAIL, "antialias"))[0]
        small = next(found.images.squares(at, SIZE, RESIZE))[0]
        return gallery.Shown(found.images.names(at)[0], review.key(small), thumbnail, distance)

    figures = report.figures(found.clusters, None, {})
    about = {key: figures[key] for key in ("images", "kept", "removed")}
    about |= {"title": f"Near-duplicates in {root}", "method": method, "radius": found.radius}
    groups = (each._replace(kind="duplicates") for each in review.groups(found.clusters, show))
    gallery.write(path, groups, about)


def _mark(path: Path) -> Mark:
    """As it is now; of size -1 where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return Mark(str(path), -1, -1)
    return Mark(str(path), status.st_size, status.st_mtime_ns)


def _hash(
    wanted: Wanted, count: int, squares: Callable[[np.ndarray], np.ndarray]
) -> tuple[Hashing, projection.Projection | None]:
    if wanted.method in hashes.PERCEPTUAL:
        return partial(hashes.perceptual, wanted.method), None
    learned = whitened.fit(wanted.bits, wanted.seed, count, squares)
    return learned.codes, learned


def _codes(hashing: Hashing, images: Images, rows: np.ndarray) -> list[np.ndarray]:
    """Of the images at `rows`, batch after batch."""
    found = []
    with Progress("hashing", len(rows), "images", silent=not len(rows)) as progress:
        for batch in images.squares(rows, SIZE, RESIZE):
            found.append(hashing(batch))
            progress.advance(len(batch))
    return found
