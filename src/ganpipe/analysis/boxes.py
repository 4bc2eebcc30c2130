"""Where in generated images something is to be seen: boxes from a file, or from OpenCV's detectors."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganpipe.analysis.handwritten import Drawn, read_json, read_text, refuse_others
from ganpipe.errors import UserError

MOST = 10_000  # boxes in a file
DIGITS = 6  # of a number in a CSV file
SIDE = 128  # pixels to which images are enlarged before a detector looks, for it was trained on larger faces


class Box(NamedTuple):
    """In the sample of that number, in pixels; `right` and `bottom` are the first that lie outside."""

    sample: int
    left: int
    top: int
    right: int
    bottom: int


class Detector(NamedTuple):
    """One of OpenCV's Haar cascades, and what an aligned face lets us ask beside it."""

    cascade: str
    neighbours: int  # finds that must agree
    smallest: int  # pixels of a find's side, of `SIDE`
    half: int  # of the face in which its centre lies: 0 the upper, 1 the lower


# Of LFW's aligned faces, halved to 64 pixels, 83 % have an eye found so; a smile 86 % of those that smile by their
# labels, and 35 % of the others.
DETECTORS = {
    "eyes": Detector("haarcascade_eye.xml", neighbours=5, smallest=16, half=0),
    "smiles": Detector("haarcascade_smile.xml", neighbours=60, smallest=32, half=1),
}


def read(setting: str, path: Path, samples: int, size: int, drawn: Drawn) -> list[Box]:
    """The boxes in a file, within images of `size` pixels, the first `samples` of `drawn`. UserError where it has none.

    JSON is a list of objects with the five numbers by their names, CSV (.csv) has them as columns of those names. An
    object of JSON with that list as its `boxes` can say whose samples they are on, by `model` and `seed`.
    """
    held = _csv(setting, path) if path.suffix.lower() == ".csv" else read_json(setting, path)
    said, listed = (held, held.get("boxes")) if isinstance(held, dict) else ({}, held)
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST:
        raise UserError(f"{setting} is {path}, which holds no list of 1 to {MOST:,} boxes")
    found = [_checked(f"{path}, box {number}", each, samples, size) for number, each in enumerate(listed, start=1)]
    refuse_others(path, said, drawn)
    return found


def _csv(setting: str, path: Path) -> list[dict[str, Any]]:
    def rows() -> Iterator[dict[str, Any]]:
        for row in csv.DictReader(io.StringIO(read_text(setting, path), newline="")):
            values = {name: row.get(name) or "" for name in Box._fields}
            whole = all(text.isascii() and text.isdigit() and len(text) <= DIGITS for text in values.values())
            yield {name: int(text) for name, text in values.items()} if whole else values

    try:
        return list(rows())
    except csv.Error as error:
        raise UserError(f"{setting} is {path}, which is no readable CSV: {error}") from None


def _checked(where: str, held: Any, samples: int, size: int) -> Box:
    values: list[Any] = [held.get(name) for name in Box._fields] if isinstance(held, dict) else []
    if not values or not all(type(value) is int for value in values):
        raise UserError(f"{where}: it is to have five whole numbers, {', '.join(Box._fields)}, not {str(held)[:80]!a}")
    box = Box(*values)
    if not 0 <= box.sample < samples:
        raise UserError(f"{where}: sample is {box.sample}, but they go from 0 to {samples - 1}")
    if not (0 <= box.left < box.right <= size and 0 <= box.top < box.bottom <= size):
        raise UserError(f"{where}: {box[1:]} is no box from left, top to right, bottom in {size}x{size} pixels")
    return box


def find(images: np.ndarray, what: str) -> list[Box]:
    """`eyes` or `smiles` in faces, uint8 (n, S, S, 3), that fill their images as aligned ones do; by sample."""
    import cv2
    import cv2.data

    detector, size = DETECTORS[what], images.shape[1]
    cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / detector.cascade))
    scale, boxes = SIDE / size, []
    for number, image in enumerate(images):
        large = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        found = cascade.detectMultiScale(
            large,
            scaleFactor=1.1,
            minNeighbors=detector.neighbours,
            minSize=(detector.smallest, detector.smallest // 2),
        )
        for left, top, wide, high in sorted(tuple(map(int, each)) for each in found):
            if (2 * top + high >= SIDE) == bool(detector.half):
                corners = [round(value / scale) for value in (left, top, left + wide, top + high)]
                boxes.append(Box(number, *corners))
    return boxes
