"""Near-duplicates in a folder of images, apart from any pipeline: which may go, and a page on which to look at them.

Nothing is deleted. An index remembers what has been hashed, so that new images are compared with those of before and
these are not hashed again; only such of them are read as may be copies (all, to keep the sharpest).
"""

import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ganpipe import files
from ganpipe.corpus.pack import sort_out
from ganpipe.corpus.shards import Images
from ganpipe.corpus.sources import text, walk
from ganpipe.dedupe import copies, gallery, hashes, likeness, policies, report, review, whitened
from ganpipe.dedupe.clusters import Clusters, Verify, group
from ganpipe.dedupe.index import Index, Mark, Radius, mark, read, refuse_others, write
from ganpipe.dedupe.projection import RESIZE, SIZE
from ganpipe.dedupe.vetoes import Veto
from ganpipe.errors import UserError
from ganpipe.progress import Progress

PLANTED, MOST_FALSE = 300, 0.01  # images whose copies measure the hash; share of false finds in the chosen radius
AMONG = 20_000  # images, at most, that they are planted among
THUMBNAIL = 96  # pixels
GROWN = 2  # times as many images as a radius was measured on make it be measured again
NAMED = 5  # files that are set aside for one reason
FEW = 64  # images that are read without a word
BLOCK = 1 << 15  # images hashed at a time
EMPTY = np.empty((0, 0), np.uint8)


class Wanted(NamedTuple):
    """What a person asks for."""

    method: str
    bits: int  # of the code, where the method lets it be chosen
    radius: int | None  # bits; None for the largest with few enough false finds
    verify: bool  # whether pixels are compared, too
    keep: str  # as `policies.order` takes it
    seed: int
    vetoes: frozenset[Veto] = frozenset()  # as the page saves them


class Found(NamedTuple):
    """Groups of the images below a folder and of those that an index knows elsewhere."""

    images: "Files"  # those below the folder, then the others
    clusters: Clusters  # of the former; the latter stay in any case
    radius: int  # bits
    measured: bool  # rather than given
    hashed: int  # images that were read, and not taken from the index
    rejected: list[dict[str, str]]  # files that are no usable images, with reasons
    learned_from: int | None  # images that the hash was made from, where it is one that learns
    broken: bool  # whether no radius keeps the bound on false finds


class Files(Images):
    """Image files where they lie, by their absolute paths, read like a corpus that was packed."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.folder, self.manifest = Path("/"), {"name": "files", "container": "encoded"}
        self.count, self.splits, self.classes, self.paths = len(paths), {}, [], list(paths)

    def names(self, indices: np.ndarray) -> list[str]:
        """Their paths, without the first slash."""
        return [text(self.paths[index]).lstrip("/") for index in indices.tolist()]

    def bytes(self, indices: np.ndarray) -> np.ndarray:
        """The sizes of the files."""
        return np.array([Path(self.paths[index]).stat().st_size for index in indices], np.int64)

    def _locate(self, index: int) -> tuple[Path, int, int]:
        return Path(self.paths[index]), 0, -1


class Squares:
    """The squares of images, each of which is read once, when it is first asked for."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self._held = files.scratch_array((len(images), SIZE, SIZE, 3), np.uint8, Path(tempfile.gettempdir()))
        self._read = np.zeros(len(images), bool)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """uint8 (n, 32, 32, 3)."""
        self.read(rows)
        return self._held[rows]

    def read(self, rows: np.ndarray) -> None:
        """Those of them that have not been read yet."""
        missing = np.unique(rows[~self._read[rows]])
        done = 0
        with Progress("reading", len(missing), "images", silent=len(missing) <= FEW) as progress:
            for batch in self.images.squares(missing, SIZE, RESIZE):
                self._held[missing[done : done + len(batch)]] = batch
                done += len(batch)
                progress.advance(len(batch))
        self._read[missing] = True


def find(root: Path, wanted: Wanted, folder: Path | None) -> Found:
    """Groups of near-duplicates among the images below `root`, and of such as the index in `folder` knows from before.

    The index is made, or renewed: files that are gone are forgotten. Links are left out, for a file would be listed as
    a copy of itself. UserError where there is nothing to compare, and where the index is of another hash.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder")
    root = root.resolve()
    if folder is not None:
        refuse_others(folder)
    before = read(folder, wanted.method, wanted.bits) if folder is not None else None
    known = {each: place for place, each in enumerate(before.marks)} if before else {}
    held = _sorted_out(root, known)
    images = Files([each.path for each in held.marks])
    squares = Squares(images)
    found = _hashed(wanted, before, known, held, squares)

    # The radius, which is measured again where there are many more images than it was measured on.
    broken = False
    if wanted.radius is None and (found.radius is None or len(images) >= GROWN * found.radius.images):
        measured, broken = _measured(wanted, found, images, squares)
        found = found._replace(radius=measured)
    radius = wanted.radius if wanted.radius is not None else found.radius.bits  # type: ignore[union-attr]

    # The groups, of all together and in one order, so that of two folders' copies the same one goes whichever is asked
    # about: where none is preferred, the one that was hashed first stays.
    hashed_at = np.array([known.get(each, len(known)) for each in found.marks])
    rows = np.argsort(hashed_at, kind="stable")
    order = rows[policies.order(wanted.keep, images, rows, root, found.pixels[rows])]
    every = group(found.codes, radius, order, verify=_verify(wanted, squares))
    if folder is not None:
        marks = [found.marks[row] for row in rows]
        write(folder, found._replace(marks=marks, pixels=found.pixels[rows], codes=found.codes[rows]))
    inside = len(held.old) + len(held.fresh)
    clusters = Clusters(
        np.unique(every.representative[:inside], return_inverse=True)[1],
        every.representative[:inside],
        every.distance[:inside],
    )
    learned_from = found.learned_from if found.learned is not None else None
    return Found(images, clusters, radius, wanted.radius is None, len(held.fresh), held.rejected, learned_from, broken)


class _Sorted(NamedTuple):
    """Image files, by what an index knows of them."""

    old: list[Mark]  # below the folder, and known
    fresh: dict[Mark, int]  # below the folder, and not known: the pixels of each
    outside: list[Mark]  # elsewhere, known, and as they were
    rejected: list[dict[str, str]]  # as in `Found`

    @property
    def marks(self) -> list[Mark]:
        """All, those of before first: what was kept then is kept now."""
        return [*self.old, *self.fresh, *self.outside]


def _sorted_out(root: Path, known: Collection[Mark]) -> _Sorted:
    """The files below `root`, and the others that are `known`. UserError where no image is below `root`."""
    names = sorted(walk(root))
    links = {name for name in names if (root / name).is_symlink()}
    here = [mark(root / name) for name in names if name not in links]
    below = f"{root}/"
    old = [each for each in here if each in known]
    by_name = {each.path.removeprefix(below): each for each in here if each not in known}
    usable, rejected = sort_out(root, list(by_name))
    if not old and not usable:
        raise UserError(f"none of the {len(names)} files in {root} is a usable image")
    fresh = {by_name[name]: facts["width"] * facts["height"] for name, facts in usable.items()}
    outside = [each for each in known if not each.path.startswith(below) and mark(Path(each.path)) == each]
    rejected += [{"name": text(name), "reason": "only a link"} for name in sorted(links)]
    return _Sorted(old, fresh, outside, rejected)


def _hashed(wanted: Wanted, before: Index | None, known: Mapping[Mark, int], held: _Sorted, squares: Squares) -> Index:
    """The index of all these files, by the hash of the one of `before`, in which `known` says where each is.

    Where there was none, the hash is made first.
    """
    marks = held.marks
    fresh = np.arange(len(held.old), len(held.old) + len(held.fresh))
    squares.read(fresh)  # all at once, and not piece by piece as they are asked for
    if before is None:
        learned = None
        if wanted.method not in hashes.PERCEPTUAL:
            learned = whitened.fit(wanted.bits, wanted.seed, len(marks), squares)
        before = Index(wanted.method, learned, len(marks), None, [], np.empty(0, np.int64), EMPTY)
    codes = [before.hashing(squares(fresh[start : start + BLOCK])) for start in range(0, len(fresh), BLOCK)]
    if known:
        ours, others = (
            before.codes[np.array([known[each] for each in part], np.int64)] for part in (held.old, held.outside)
        )
        codes = [ours, *codes, others]
    sizes = {**dict(zip(before.marks, before.pixels.tolist(), strict=True)), **held.fresh}
    pixels = np.array([sizes[each] for each in marks], np.int64)
    return before._replace(marks=marks, pixels=pixels, codes=np.concatenate(codes))


def _verify(wanted: Wanted, squares: Squares) -> Verify | None:
    """Whether the pixels of two images agree, and no veto parts them."""
    if not wanted.verify and not wanted.vetoes:
        return None

    def verify(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        same = likeness.verify(i, j, squares) if wanted.verify else np.ones(len(i), bool)
        if wanted.vetoes:
            pairs = zip(squares(i), squares(j), strict=True)
            same &= np.array([frozenset(map(review.key, pair)) not in wanted.vetoes for pair in pairs], bool)
        return same

    return verify


def _measured(wanted: Wanted, index: Index, images: Images, squares: Squares) -> tuple[Radius, bool]:
    """The largest with few enough false finds of perturbed copies, and whether not even radius 0 has so few."""
    found = copies.measure(
        images,
        np.arange(len(images)),
        index.codes,
        index.hashing,
        squares,
        count=PLANTED,
        among=AMONG,
        seed=wanted.seed,
        most_false=MOST_FALSE,
        radius=None,
        verify=wanted.verify,
    )
    return Radius(found.radius, len(images)), not found.calibration.holds


def sentences(found: Found) -> list[str]:
    """What a person wants to know."""
    figures = report.figures(found.clusters, None, {})
    told = [
        f"{figures['removed']:,} of {figures['images']:,} images are near-duplicates of one that stays "
        f"(codes within {found.radius} bits, {'as measured' if found.measured else 'as given'}); "
        f"{found.hashed:,} {'was' if found.hashed == 1 else 'were'} hashed now"
    ]
    elsewhere = int(found.clusters.leaked.sum())
    if elsewhere:
        told.append(f"{elsewhere:,} of them are near-duplicates of images elsewhere that the index knows")
    reasons = Counter(each["reason"] for each in found.rejected)
    for reason, count in reasons.most_common():
        names = [each["name"] for each in found.rejected if each["reason"] == reason]
        shown = ", ".join(names[:NAMED]) + (f" and {count - NAMED:,} more" if count > NAMED else "")
        told.append(f"set aside, {reason}: {shown}")
    if found.broken:
        told.append(
            f"warning: even of images with equal codes more than {MOST_FALSE:.0%} are different ones: look at the "
            "page, or choose another --method"
        )
    if found.learned_from is not None and found.learned_from < whitened.ENOUGH <= len(found.images):
        told.append(
            f"the index's hash was made from {found.learned_from:,} images, and it knows {len(found.images):,} now: "
            "remove it, and a better one is made"
        )
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
    about |= {
        "then": "name it in <code>--vetoes</code> the next time",
        "title": f"Near-duplicates in {root}",
        "method": method,
        "radius": found.radius,
    }
    groups = (each._replace(kind="duplicates") for each in review.groups(found.clusters, show))
    counts = Counter({"duplicates": review.counts(found.clusters).total()})
    gallery.write(path, groups, about, counts=counts)
