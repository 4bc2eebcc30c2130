"""The dedupe stage: hash every image of the corpus, group equal and near codes, keep one of each group.

Near-duplicates of the evaluation sets' test images go, too: what learns from them is not measured by them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ganpipe import files
from ganpipe.corpus.shards import Images
from ganpipe.dedupe import calibration, copies, gallery, hashes, likeness, policies, report, review, vetoes
from ganpipe.dedupe.clusters import Clusters, group
from ganpipe.dedupe.keep import KEEP
from ganpipe.dedupe.params import DedupeParams
from ganpipe.dedupe.projection import RESIZE, SIZE
from ganpipe.manifest import MANIFEST, SCHEMA
from ganpipe.progress import Progress

AMONG = 100_000  # images, at most, that copies are planted among
THUMBNAIL = 64  # pixels, of images that are held at any size


class Source(NamedTuple):
    """Images of one set that are hashed: those of the corpus, or the test images of an evaluation set."""

    images: Images
    rows: np.ndarray  # int64 (N,), their indices in the set
    squares: np.ndarray  # uint8 (N, 32, 32, 3)

    @classmethod
    def of(cls, images: Images, split: str) -> "Source":
        """That split. Squares of many images are more than fits into memory, and lie in a file."""
        rows = images.rows(split)
        squares = files.scratch_array((len(rows), SIZE, SIZE, 3), np.uint8)
        done = 0
        with Progress(f"reading {images.name}", len(rows), "images") as progress:
            for batch in images.squares(rows, SIZE, RESIZE):
                squares[done : done + len(batch)] = batch
                done += len(batch)
                progress.advance(len(batch))
        return cls(images, rows, squares)

    @property
    def name(self) -> str:
        """The set's."""
        return self.images.name

    def keys(self) -> np.ndarray:
        """Digests of the squares, by which vetoes tell images, str (N,)."""
        return np.array([review.key(square) for square in self.squares])


def dedupe(
    params: DedupeParams, images: Images, tests: Sequence[Images], split: str, device: torch.device, out: Path
) -> dict[str, Any]:
    """Fill `out` with `keep.parquet`, the encoder, the page to review, a picture and a manifest; the figures.

    `tests` are the evaluation sets; only the split "test" of each is looked at.
    """
    told = vetoes.read(Path(params.vetoes).expanduser()) if params.vetoes else frozenset()  # or it fails at the end
    corpus = Source.of(images, split)
    others = [Source.of(each, "test") for each in tests] if params.tests and params.method != "none" else []
    with files.atomic_folder(out) as draft:
        if params.method == "none":
            every = np.arange(len(corpus.rows))
            clusters, codes, figures, radius = Clusters(every, every, np.zeros(len(every), np.uint16)), None, {}, 0
        else:
            hashed = hashes.fit(params, corpus.squares, device, draft)
            codes = hashed.codes(corpus.squares)
            radius, found = _measure(params, corpus, codes, hashed, draft)
            clusters, refused = _group(params, corpus, others, codes, hashed, radius, told)
            figures = {**hashed.figures, **found, "refused_pairs": refused}
        report.write_keep(draft, corpus.rows, clusters, [(other.name, other.rows) for other in others])
        _review(draft / "review.html", params, corpus, others, clusters, radius, told)
        report.picture(clusters, lambda places: _squares_at(corpus, others, places)).save(draft / "groups.png")
        leaks = {other.name: len(other.rows) for other in others}
        figures = {**report.figures(clusters, codes, leaks), "radius": radius, **figures}
        manifest = {"schema": SCHEMA, "settings": params.model_dump(), "figures": figures, "corpus": images.digest}
        if codes is not None:
            manifest["bit_entropies"] = [round(float(value), 4) for value in report.bit_entropies(codes)]
        manifest["others"] = [{"file": KEEP, "sha256": files.sha256(draft / KEEP)}]
        files.write_json(draft / MANIFEST, manifest)
    for sentence in report.sentences(figures, leaks):
        print(sentence)
    return figures


def _measure(
    params: DedupeParams, corpus: Source, codes: np.ndarray, hashed: hashes.Hash, folder: Path
) -> tuple[int, dict[str, float]]:
    """The radius, and what is found of perturbed copies within it; also as calibration.csv and .png in the folder."""
    if not params.planted:
        return int(params.radius), {}
    found = copies.measure(
        corpus.images,
        corpus.rows,
        codes,
        hashed.codes,
        lambda places: corpus.squares[places],
        count=params.planted,
        among=AMONG,
        seed=params.seed,
        most_false=params.most_false,
        radius=None if params.radius == "auto" else int(params.radius),
        verify=params.verify,
    )
    calibration.write_csv(folder / "calibration.csv", found.calibration)
    calibration.picture(found.calibration).save(folder / "calibration.png")
    return found.radius, found.figures


def _group(
    params: DedupeParams,
    corpus: Source,
    others: list[Source],
    codes: np.ndarray,
    hashed: hashes.Hash,
    radius: int,
    told: frozenset[vetoes.Veto],
) -> tuple[Clusters, int]:
    """The groups, and how many pairs of images with near codes were compared and refused for their pixels."""
    keys = np.concatenate([corpus.keys(), *(other.keys() for other in others)]) if told else np.empty(0, "U16")
    refused = 0

    def verify(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        nonlocal refused
        same = likeness.verify(i, j, lambda numbers: _squares_at(corpus, others, numbers))
        refused += int((~same).sum())
        return same

    clusters = group(
        codes,
        radius,
        policies.order(params.keep, corpus.images, corpus.rows),
        np.concatenate([np.empty((0, codes.shape[1]), np.uint8), *(hashed.codes(other.squares) for other in others)]),
        vetoes.forbidden(told, keys),
        verify if params.verify else None,
    )
    return clusters, refused


def _squares_at(corpus: Source, others: list[Source], places: np.ndarray) -> np.ndarray:
    """Squares by their number: those of the corpus, then the others', one set after another."""
    return np.stack([source.squares[place] for source, place in _sources(corpus, others, places)])


def _sources(corpus: Source, others: list[Source], places: np.ndarray) -> Iterator[tuple[Source, int]]:
    """Of each number the set, and the place in it."""
    sources = [corpus, *others]
    starts = np.cumsum([0] + [len(source.rows) for source in sources])
    for place in places.tolist():
        number = int(np.searchsorted(starts, place, side="right")) - 1
        yield sources[number], place - int(starts[number])


def _review(
    path: Path,
    params: DedupeParams,
    corpus: Source,
    others: list[Source],
    clusters: Clusters,
    radius: int,
    told: frozenset[vetoes.Veto],
) -> None:
    """The page on which a person looks at every group."""
    side = SIZE if corpus.images.manifest["container"] == "pixels" else THUMBNAIL

    def show(number: int, distance: int) -> gallery.Shown:
        ((source, place),) = _sources(corpus, others, np.array([number]))
        row = source.rows[place : place + 1]
        thumbnail = next(source.images.squares(row, side, "antialias"))[0]
        name = source.images.names(row)[0] + ("" if source is corpus else " (test)")
        return gallery.Shown(name, review.key(source.squares[place]), thumbnail, distance)

    about = {
        "title": f"Near-duplicates in {corpus.name}",
        "method": params.method,
        "radius": radius,
        "images": len(clusters.kept),
        "kept": int(clusters.kept.sum()),
        "removed": int((~clusters.kept).sum()),
    }
    gallery.write(path, review.groups(clusters, show), about, told, review.counts(clusters))
