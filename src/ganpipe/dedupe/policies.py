"""Which image of a group stays, by name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError

PREFER = "prefer:"
COMMON = 128  # pixels a side at which sharpness is compared


def order(
    policy: str, images: Images, rows: np.ndarray, root: Path | None = None, pixels: np.ndarray | None = None
) -> np.ndarray:
    """The places in `rows` in the order in which images are preferred, int64 (N,); among equals the first.

    `first`; `largest` by pixels, then by the bytes of the file; `sharpest` by the mean magnitude of the brightness's
    second derivative, all images brought to one size; `prefer:<folder>` for images below that folder of the corpus, or
    of `root`. UserError where no image is there. Where the images' `pixels` are known, int64 (N,), none is read for
    them.
    """
    if policy == "first":
        return np.arange(len(rows))
    if policy == "largest":
        sizes = _measured(images, rows, _size) if pixels is None else pixels
        return np.lexsort((-images.bytes(rows), -sizes))
    if policy == "sharpest":
        return np.argsort(-_measured(images, rows, _sharpness), kind="stable")
    folder = policy.removeprefix(PREFER).rstrip("/")
    if root is not None and Path(folder).is_absolute() and Path(folder).resolve().is_relative_to(root):
        folder = Path(folder).resolve().relative_to(root).as_posix()
    start = f"{folder}/" if root is None else f"{root}/{folder}/".lstrip("/")
    inside = np.array([name.startswith(start) for name in images.names(rows)])
    if not inside.any():
        raise UserError(f"keep is {policy}, but no image of {root or images.folder} lies in a folder {folder}")
    return np.argsort(~inside, kind="stable")


def _measured(images: Images, rows: np.ndarray, measure: Callable[[Image.Image], float]) -> np.ndarray:
    return np.array([value for batch in images.mapped(rows, measure) for value in batch], np.float64)


def _size(image: Image.Image) -> float:
    return image.width * image.height


def _sharpness(image: Image.Image) -> float:
    # At one size, for a smaller copy has its edges in fewer pixels.
    grey = np.asarray(image.convert("L").resize((COMMON, COMMON), Image.Resampling.BICUBIC), np.float32)
    return float(np.abs(np.diff(grey, 2, axis=0)).mean() + np.abs(np.diff(grey, 2, axis=1)).mean())
