"""Perturbed copies of some of a corpus's images: what the hash finds of them, and the comparison of pixels leaves."""

import zlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image

from ganpipe.corpus.images import square
from ganpipe.corpus.shards import Images
from ganpipe.dedupe.calibration import Calibration, calibrate, differing
from ganpipe.dedupe.likeness import alike_in_pairs, edges
from ganpipe.dedupe.perturb import MILD, PERTURBATIONS
from ganpipe.dedupe.projection import RESIZE, SIZE

SIDE = 256  # pixels, of the longer side of what is perturbed, at most
SHARE_OF_BITS = 4  # radii go to a quarter of the bits


class Measured(NamedTuple):
    """How copies are found."""

    calibration: Calibration  # by their codes alone
    radius: int  # the one that was given, or the calibration's
    figures: dict[str, float]  # at this radius


def measure(
    images: Images,
    rows: np.ndarray,
    codes: np.ndarray,
    hashing: Callable[[np.ndarray], np.ndarray],
    squares: Callable[[np.ndarray], np.ndarray],
    *,
    count: int,
    among: int,
    seed: int,
    most_false: float,
    radius: int | None,
    verify: bool,
) -> Measured:
    """Plant copies of `count` of the images at `rows` among `among` of them, as far as there are so many.

    `codes` are those of all, packed, uint8 (N, B/8), by `hashing`; `squares` takes places to uint8 (k, 32, 32, 3).
    Without a `radius`, it is the largest that keeps the bound `most_false` (`calibrate`). `recall_mild` and
    `recall_all` are the shares of copies that are found at it, if `verify` by their pixels, too; `precision_planted` is
    that of the codes alone, where the calibration goes so far. `bound_broken` is there where no radius keeps the bound.
    """
    source = np.random.default_rng([seed, 2])
    held = np.sort(source.permutation(len(codes))[:among])
    sample = np.sort(source.permutation(len(held))[:count])
    chosen = held[sample]
    originals = (image for batch in images.mapped(rows[chosen], _reduced) for image in batch)
    copies = {name: np.stack(each) for name, each in plant(originals, PERTURBATIONS, seed, _square).items()}
    planted = {name: hashing(each) for name, each in copies.items()}
    largest = max(1, 8 * codes.shape[1] // SHARE_OF_BITS)
    found = calibrate(
        codes[held], sample, planted, lambda places: squares(held[places]), largest, most_false, len(codes)
    )
    if automatic := radius is None:
        radius = found.radius

    of_chosen = edges(squares(chosen))
    shares = {}
    for name, each in copies.items():
        near = differing(planted[name], codes[chosen]) <= radius
        shares[name] = float((near & alike_in_pairs(of_chosen, edges(each)) if verify else near).mean())
    figures = {
        "recall_mild": float(np.mean([shares[name] for name in MILD])),
        "recall_all": float(np.mean(list(shares.values()))),
    }
    for row in found.rows:
        if (row.perturbation, row.radius) == ("all", radius):
            figures["precision_planted"] = row.precision
    if automatic and not found.holds:
        figures["bound_broken"] = 1
    return Measured(found, radius, {name: round(value, 4) for name, value in figures.items()})


def plant(
    images: Iterable[np.ndarray],
    names: Iterable[str],
    seed: int,
    shrink: Callable[[Image.Image], np.ndarray] = np.asarray,
) -> dict[str, list[np.ndarray]]:
    """The copies of each image, uint8 (h, w, 3) of at least 8 x 8 pixels, by perturbation, in the order of the images.

    A copy is determined by the seed, the image's place among them and the perturbation's name. `shrink` makes of each
    copy what is kept of it, so that not all are held at their full size.
    """
    copies: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for place, image in enumerate(images):
        original = Image.fromarray(image)
        for name, held in copies.items():
            source = np.random.default_rng([seed, place, zlib.crc32(name.encode())])
            held.append(shrink(PERTURBATIONS[name](original, source)))
    return copies


def _reduced(image: Image.Image) -> np.ndarray:
    """At most so large that all perturbations of some hundreds take seconds; its square where it is hardly larger."""
    if min(image.size) < 2 * SIZE:
        return _square(image)
    if max(image.size) > SIDE:
        scale = SIDE / max(image.size)
        image = image.resize([max(SIZE, round(scale * side)) for side in image.size], Image.Resampling.BILINEAR)
    return np.asarray(image)


def _square(image: Image.Image) -> np.ndarray:
    return square(image, SIZE, RESIZE)
