"""How many near-duplicates a hash finds at each radius, and how many of its finds are none, on copies that are known.

Perturbed copies of a sample of the corpus are planted among all of its images. Within a radius of a copy's code, its
source is a true find and any other image a false one, unless the pixels say that it is a near-duplicate of the source,
or of its mirror image: corpora hold their own.
"""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganpipe import files
from ganpipe.dedupe.likeness import alike, edges
from ganpipe.dedupe.perturb import MILD
from ganpipe.intervals import wilson
from ganpipe.progress import Progress

BLOCK = 1024  # images compared with all copies at a time
LABELS, CELL, LINE, TOP, COLUMNS = 110, 46, 24, 58, 10  # of the picture; at least so many columns wide
BLUE, RED = (8, 64, 129), (178, 34, 34)


class Row(NamedTuple):
    """Of one perturbation, of the `mild` ones or of `all`: how the copies were found within `radius` bits.

    Intervals are of 95 % (Wilson) and take finds as independent; those of one copy are not quite.
    """

    perturbation: str
    radius: int
    planted: int
    found: int  # copies that found their source
    recall: float
    recall_low: float
    recall_high: float
    false_finds: int
    precision: float  # 1 where nothing at all was found
    precision_low: float
    precision_high: float


class Calibration(NamedTuple):
    """Precision and recall by perturbation and radius, and the radius that they speak for."""

    rows: list[Row]  # each perturbation, then `mild`, then `all`; the radii of each ascend
    radius: int  # the largest that keeps the bound on false finds, as all smaller ones do
    holds: bool  # whether radius 0 keeps it
    images: int  # that the copies were planted among, or that those stand for


def calibrate(
    codes: np.ndarray,
    sample: np.ndarray,
    planted: Mapping[str, np.ndarray],
    squares: Callable[[np.ndarray], np.ndarray],
    largest: int,
    most_false: float,
    of: int | None = None,
) -> Calibration:
    """Precision and recall at each radius from 0 to `largest`, and the largest radius with few enough false finds.

    `codes` are those of all images, packed, uint8 (N, B/8); `sample` the indices of n of them, each once; `planted` the
    codes of these images' copies by perturbation, uint8 (n, B/8); `squares` takes indices to uint8 (k, 32, 32, 3).
    Of all finds within the chosen radius, and within every smaller one, at most the share `most_false` is false: the
    paper (section 4.1.1) says less than 1 in 100. The larger the corpus, the more false finds a radius brings. And here
    every image has its copies: where 1 in 50 has one, a false find weighs 50 times as much as the precision says.
    Where the N are a sample `of` more images, false finds are extrapolated to all of these.
    """
    if not planted or not len(sample):
        raise ValueError("nothing is planted")
    for name, copies in planted.items():
        if copies.shape != (len(sample), codes.shape[1]):
            raise ValueError(f"{name}: codes of shape {copies.shape}, where {(len(sample), codes.shape[1])} is due")
    found = {name: _by_radius(differing(copies, codes[sample]), largest) for name, copies in planted.items()}
    false = _false_finds(codes, sample, planted, squares, largest)
    if of is not None and len(codes) > 1:
        false = {name: np.rint(each * ((of - 1) / (len(codes) - 1))).astype(np.int64) for name, each in false.items()}
    groups = {name: [name] for name in planted}
    groups["mild"], groups["all"] = [name for name in planted if name in MILD], list(planted)
    rows = [
        _row(
            name,
            radius,
            planted=len(members) * len(sample),
            found=sum(int(found[member][radius]) for member in members),
            false=sum(int(false[member][radius]) for member in members),
        )
        for name, members in groups.items()
        if members
        for radius in range(largest + 1)
    ]
    of_all = rows[-largest - 1 :]
    broken = [row.radius for row in of_all if row.false_finds > most_false * (row.found + row.false_finds)]
    keeping = min(broken, default=largest + 1) - 1
    return Calibration(rows, max(0, keeping), keeping >= 0, of or len(codes))


def _false_finds(
    codes: np.ndarray,
    sample: np.ndarray,
    planted: Mapping[str, np.ndarray],
    squares: Callable[[np.ndarray], np.ndarray],
    largest: int,
) -> dict[str, np.ndarray]:
    """How many images within each radius of the copies are no near-duplicates of their sources, by perturbation."""
    bits = 8 * codes.shape[1]
    copies = _signs(np.concatenate(list(planted.values())))
    sources = squares(sample)
    either = edges(sources), edges(sources[:, :, ::-1])  # a mirror image is no false find of a mirrored copy
    false = np.zeros((len(planted), largest + 1), np.int64)
    with Progress("calibrating the hash", len(codes), "images") as progress:
        for start in range(0, len(codes), BLOCK):
            block = _signs(codes[start : start + BLOCK])
            # Bits that agree less those that differ: whole numbers, so exact.
            agreement = (copies @ block.T).reshape(len(planted), len(sample), len(block))
            within = agreement >= bits - 2 * largest
            own = np.flatnonzero((sample >= start) & (sample < start + len(block)))
            within[:, own, sample[own] - start] = False
            asked = within.any(0)
            touched = np.flatnonzero(asked.any(0))
            same = np.zeros_like(asked)
            if len(touched):
                found = edges(squares(start + touched))
                same[:, touched] = np.logical_or(*(alike(each, found, asked[:, touched]) for each in either))
            for place, finds in enumerate(within):
                false[place] += _by_radius((bits - agreement[place][finds & ~same]) / 2, largest)
            progress.advance(len(block))
    return dict(zip(planted, false, strict=True))


def _row(name: str, radius: int, planted: int, found: int, false: int) -> Row:
    recall, precision = found / planted, found / (found + false) if found + false else 1.0
    certain = wilson(precision, found + false) if found + false else (0.0, 1.0)
    return Row(name, radius, planted, found, recall, *wilson(recall, planted), false, precision, *certain)


def differing(codes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """In how many bits each of packed codes, uint8 (n, B/8), differs from the one at its place: int64 (n,)."""
    return np.bitwise_count(codes ^ others).sum(1, dtype=np.int64)


def _by_radius(distances: np.ndarray, largest: int) -> np.ndarray:
    """How many are at most 0, 1, ..., `largest`: int64."""
    return np.bincount(distances[distances <= largest].astype(np.int64), minlength=largest + 1).cumsum()


def _signs(codes: np.ndarray) -> np.ndarray:
    """Packed codes as -1 and 1, float32 (N, B)."""
    return np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1


def write_csv(path: Path, calibration: Calibration) -> None:
    """One line a row, under the names of its fields; shares to 5 digits."""
    with files.atomic(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        lines = [[round(value, 5) if isinstance(value, float) else value for value in row] for row in calibration.rows]
        csv.writer(file, lineterminator="\n").writerows([Row._fields, *lines])


def picture(calibration: Calibration) -> Image.Image:
    """Two tables by radius, in per cent: copies that are found, the bluer the more; finds that are false, the redder.

    The column of the chosen radius is framed; where no radius keeps the bound, none is.
    """
    by_name: dict[str, list[Row]] = {}
    for row in calibration.rows:
        by_name.setdefault(row.perturbation, []).append(row)
    found = {name: [row.recall for row in rows] for name, rows in by_name.items()}
    false = {name: [1 - row.precision for row in rows] for name, rows in by_name.items() if name in ("mild", "all")}
    every = by_name["all"]
    under = TOP + LINE * (len(found) + 1)
    bottom = under + LINE * (len(false) + 1)
    canvas = Image.new("RGB", (LABELS + max(len(every), COLUMNS) * CELL + 12, bottom + 12), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    verdict = f"radius {calibration.radius}" if calibration.holds else "no radius keeps the bound on false finds"
    draw.text((8, 8), f"{every[0].planted:,} copies among {calibration.images:,} images: {verdict}", "gray", font)
    draw.text((LABELS - 8, TOP - LINE / 2), "radius, bits", "gray", font, "rm")
    for row in every:
        draw.text((LABELS + (row.radius + 0.5) * CELL, TOP - LINE / 2), str(row.radius), "gray", font, "mm")
    _table(draw, TOP, "copies that are found, %", found, BLUE)
    _table(draw, under, "finds that are false, %", false, RED)
    if calibration.holds:
        left = LABELS + calibration.radius * CELL
        draw.rectangle((left - 2, TOP - LINE, left + CELL - 1, bottom), outline="black", width=2)
    return canvas


def _table(
    draw: ImageDraw.ImageDraw, top: int, title: str, shares: dict[str, list[float]], deep: tuple[int, int, int]
) -> None:
    """A title and a line of cells a name, the deeper the larger the share."""
    font, small = ImageFont.load_default(14), ImageFont.load_default(13)
    draw.text((8, top + LINE / 2), title, "gray", font, "lm")
    for name, values in shares.items():
        top += LINE
        draw.text((LABELS - 8, top + LINE / 2), name, "black", font, "rm")
        for column, share in enumerate(values):
            left = LABELS + column * CELL
            shade = tuple(round(255 + (colour - 255) * share**0.6) for colour in deep)
            draw.rectangle((left, top, left + CELL - 2, top + LINE - 2), shade)
            ink = "white" if share > 0.35 else "black"
            draw.text((left + CELL / 2, top + LINE / 2 - 1), _per_cent(share), ink, small, "mm")


def _per_cent(share: float) -> str:
    """With one decimal; 0 and 100 only where they are exact."""
    if share in (0, 1):
        return f"{100 * share:.0f}"
    if not 0.0005 <= share < 0.9995:
        return "<0.1" if share < 0.5 else ">99.9"
    return f"{100 * share:.1f}"
