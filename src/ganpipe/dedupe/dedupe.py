"""The dedupe stage: hash every image of the corpus, group equal and near codes, keep one of each group.

Near-duplicates of the evaluation sets' test images go, too: what learns from them is not measured by them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ganpipe import files
from ganpipe.corpus.images import square
from ganpipe.corpus.shards import Images
from ganpipe.dedupe import calibration, gallery, hashes, policies, report, review, vetoes
from ganpipe.dedupe.clusters import Clusters, group
from ganpipe.dedupe.params import DedupeParams
from ganpipe.dedupe.perturb import PERTURBATIONS
from ganpipe.dedupe.projection import SIZE
from ganpipe.manifest import MANIFEST, SCHEMA

SHARE_OF_BITS = 4  # the calibration goes to a quarter of the bits
AMONG = 100_000  # images, at most, that copies are planted among
THUMBNAIL = 64  # pixels, of images that are held at any size


class Source(NamedTuple):
    """Images of one set that are hashed: those of the corpus, or the test images of an evaluation set."""

    images: Images
    rows: np.ndarray  # int64 (N,), their indices in the set
    squares: np.ndarray  # uint8 (N, 32, 32, 3)

    @classmethod
    def of(cls, images: Images, split: str) -> "Source":
        """That split."""
        rows = images.rows(split)
        return cls(images, rows, np.concatenate(list(images.squares(rows, SIZE, "bilinear"))))

    @property
    def name(self) -> str:
        """The set's."""
        return str(self.images.manifest.get("name", self.images.folder.name))

    def keys(self) -> np.ndarray:
        """Digests of the squares, by which vetoes tell images, str (N,)."""
        return np.array([review.key(square) for square in self.squares])


def dedupe(
    params: DedupeParams, images: Images, tests: Sequence[Images], split: str, device: torch.device, out: Path
) -> dict[str, Any]:
    """Fill `out` with `keep.parquet`, the encoder, the page to review, a picture and a manifest; the figures.

    `tests` are the evaluation sets; only the split "test" of each is looked at.
    """
    corpus = Source.of(images, split)
    others = [Source.of(each, "test") for each in tests] if params.tests and params.method != "none" else []
    with files.atomic_folder(out) as draft:
        if params.method == "none":
            every = np.arange(len(corpus.rows))
            clusters, codes, figures, radius = Clusters(every, every, np.zeros(len(every), np.uint16)), None, {}, 0
        else:
            hashed = hashes.fit(params, corpus.squares, device, draft)
            codes = hashed.codes(corpus.squares)
            measured = _measure(params, corpus, codes, hashed, draft)
            radius = measured.radius if params.radius == "auto" and measured is not None else int(params.radius)
            clusters = _group(params, corpus, others, codes, hashed, radius)
            figures = {**hashed.figures, **_of_calibration(measured, radius)}
        report.write_keep(draft, corpus.rows, clusters, [(other.name, other.rows) for other in others])
        _review(draft / "review.html", params, corpus, others, clusters, radius)
        report.picture(clusters, lambda places: _squares_at(corpus, others, places)).save(draft / "groups.png")
        leaks = {other.name: len(other.rows) for other in others}
        figures = {**report.figures(clusters, codes, leaks), "radius": radius, **figures}
        manifest = {"schema": SCHEMA, "settings": params.model_dump(), "figures": figures, "corpus": images.digest}
        if codes is not None:
            manifest["bit_entropies"] = [round(float(value), 4) for value in report.bit_entropies(codes)]
        files.write_json(draft / MANIFEST, manifest)
    for sentence in report.sentences(figures, leaks):
        print(sentence)
    return figures


def _measure(
    params: DedupeParams, corpus: Source, codes: np.ndarray, hashed: hashes.Hash, folder: Path
) -> calibration.Calibration | None:
    """What the hash finds of perturbed copies of some images: also as calibration.csv and .png in the folder."""
    if not params.planted:
        return None
    source = np.random.default_rng([params.seed, 2])
    among = np.sort(source.permutation(len(codes))[:AMONG])
    sample = np.sort(source.permutation(len(among))[: params.planted])
    copies = calibration.plant(
        corpus.squares[among[sample]], PERTURBATIONS, params.seed, lambda image: square(image, SIZE, "bilinear")
    )
    every = hashed.codes(np.stack([each for squares in copies.values() for each in squares]))
    planted = dict(zip(copies, np.split(every, len(copies)), strict=True))
    largest = max(1, 8 * codes.shape[1] // SHARE_OF_BITS)
    found = calibration.calibrate(
        codes[among], sample, planted, lambda places: corpus.squares[among[places]], largest, params.most_false
    )
    calibration.write_csv(folder / "calibration.csv", found)
    calibration.picture(found).save(folder / "calibration.png")
    return found


def _of_calibration(found: calibration.Calibration | None, radius: int) -> dict[str, Any]:
    """Recall and precision at the radius, of all perturbations and of the mild ones."""
    rows = {row.perturbation: row for row in found.rows if row.radius == radius} if found is not None else {}
    figures: dict[str, Any] = {
        f"recall_{name}": round(rows[name].recall, 4) for name in ("mild", "all") if name in rows
    }
    if "all" in rows:
        figures["precision_planted"] = round(rows["all"].precision, 4)
    return figures


def _group(
    params: DedupeParams, corpus: Source, others: list[Source], codes: np.ndarray, hashed: hashes.Hash, radius: int
) -> Clusters:
    told = vetoes.read(Path(params.vetoes).expanduser()) if params.vetoes else frozenset()
    keys = np.concatenate([corpus.keys(), *(other.keys() for other in others)]) if told else np.empty(0, "U16")
    return group(
        codes,
        radius,
        policies.order(params.keep, corpus.images, corpus.rows),
        np.concatenate([np.empty((0, codes.shape[1]), np.uint8), *(hashed.codes(other.squares) for other in others)]),
        vetoes.forbidden(told, keys),
    )


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
    path: Path, params: DedupeParams, corpus: Source, others: list[Source], clusters: Clusters, radius: int
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
    told = vetoes.read(Path(params.vetoes).expanduser()) if params.vetoes else frozenset()
    gallery.write(path, review.groups(clusters, show), about, told)
