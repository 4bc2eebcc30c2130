"""Faces in photographs: where they are, and the squares that are cut around them.

The paper's faces (section 4.2) were found by OpenCV's detector; detections of sufficient resolution were kept.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ganpipe import files
from ganpipe.corpus.images import Region
from ganpipe.errors import UserError

HAAR = "haar"
CASCADE = "haarcascade_frontalface_alt2.xml"  # of those that OpenCV carries the one with the fewest false finds
LONGEST = 1024  # pixels of an image's longer side while faces are searched: larger ones are searched reduced
SMALLEST = 24  # pixels of a face's side in what is searched
SURE = 0.8  # of YuNet's score, from which on it is a face


class Face(NamedTuple):
    """A box in an upright image, in pixels, and how sure the detector is, in units of its own."""

    left: int
    top: int
    width: int
    height: int
    score: float


def find(image: Image.Image, detector: str) -> list[Face]:
    """The faces in an RGB image, the largest first."""
    scale = max(1.0, max(image.size) / LONGEST)
    small = image if scale == 1 else image.resize([max(1, round(side / scale)) for side in image.size], reducing_gap=2)
    boxes = _load(detector)(np.asarray(small)) if min(small.size) >= SMALLEST else []
    faces = [_within(image, [side * scale for side in box[:4]], box[4]) for box in boxes]
    return sorted((face for face in faces if face.width and face.height), key=lambda face: (-face.width, face))


def about(detector: str) -> dict[str, str]:
    """What the manifest says of it. UserError where it cannot be used."""
    _load(detector)
    path = Path(detector)
    return {"name": CASCADE} if detector == HAAR else {"name": path.name, "sha256": files.sha256(path)}


def region(face: Face, width: int, height: int, margin: float) -> Region:
    """The square around a face in an image of that size, in shares of its sides.

    Its side is the box's longer one and `margin` times it on each side; as much of that as the image has. Near an edge
    the square is moved inwards.
    """
    side = min(max(face.width, face.height) * (1 + 2 * margin), width, height)
    left = min(max(face.left + face.width / 2 - side / 2, 0), width - side)
    top = min(max(face.top + face.height / 2 - side / 2, 0), height - side)
    return left / width, top / height, (left + side) / width, (top + side) / height


def _within(image: Image.Image, box: list[float], score: float) -> Face:
    left, top = max(0, round(box[0])), max(0, round(box[1]))
    right, bottom = min(image.width, round(box[0] + box[2])), min(image.height, round(box[1] + box[3]))
    return Face(left, top, max(0, right - left), max(0, bottom - top), round(score, 4))


Boxes = list[list[float]]  # left, top, width, height, score


@lru_cache(maxsize=1)
def _load(detector: str) -> Callable[[np.ndarray], Boxes]:
    """From uint8 (h, w, 3) to boxes."""
    import cv2
    import cv2.data

    cv2.setNumThreads(1)  # the pool has a process for each core
    if detector == HAAR:
        cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / CASCADE))

        def haar(pixels: np.ndarray) -> Boxes:
            grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
            boxes, _, scores = cascade.detectMultiScale3(
                grey, scaleFactor=1.1, minNeighbors=5, minSize=(SMALLEST, SMALLEST), outputRejectLevels=True
            )
            return [[*map(float, box), float(score)] for box, score in zip(boxes, scores, strict=True)]

        return haar
    if not Path(detector).is_file():
        raise UserError(f"download.faces is {detector}: it is haar, or the file of a YuNet model (.onnx)")
    try:
        model = cv2.FaceDetectorYN.create(detector, "", (320, 320), SURE)
        model.setInputSize((64, 64))
        model.detect(np.zeros((64, 64, 3), np.uint8))
    except cv2.error as error:
        raise UserError(f"download.faces is {detector}, which is no YuNet model ({error.err or error})") from None

    def yunet(pixels: np.ndarray) -> Boxes:
        model.setInputSize((pixels.shape[1], pixels.shape[0]))
        _, found = model.detect(np.ascontiguousarray(pixels[..., ::-1]))
        return [] if found is None else [[*map(float, row[:4]), float(row[14])] for row in found]

    return yunet
