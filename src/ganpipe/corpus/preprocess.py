"""The preprocess stage: the images that dedupe kept, as square pixels in a seeded order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ganpipe import files
from ganpipe.corpus.faces import Face, region
from ganpipe.corpus.images import Region, grey
from ganpipe.corpus.params import PreprocessParams
from ganpipe.corpus.shards import Images, write_pixels
from ganpipe.errors import UserError
from ganpipe.progress import Progress

WHOLE: Region = (0.0, 0.0, 1.0, 1.0)
HALVES: tuple[Region, Region] = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
HELD_OUT = "held_out"  # the split of images that were drawn


def preprocess(params: PreprocessParams, images: Images, kept: np.ndarray, out: Path) -> dict[str, Any]:
    """Write pixel shards of `images` at the indices `kept`, with the order they stand in; the stage's figures.

    The training images come first, then those held out. With `crop: faces` there is a square for each face that is
    large enough, and none of an image without one; with `crop: pairs` six channels of each image.
    """
    parts = _parts(params, images, kept)
    rows = np.concatenate([part[0] for part in parts.values()])
    regions = [each for part in parts.values() for each in part[1] or ()] or None
    ends = np.cumsum([len(part[0]) for part in parts.values()]).tolist()
    splits = {name: [end - len(part[0]), end] for (name, part), end in zip(parts.items(), ends, strict=True)}
    about = {
        "side": params.side,
        "resize": params.resize,
        "crop": params.crop,
        "seed": params.seed,
        "splits": splits,
        "trained_classes": params.classes,
        "corpus": {**{key: images.manifest.get(key) for key in ("name", "title", "licence")}, "digest": images.digest},
    }
    with files.atomic_folder(out) as draft, Progress("preprocessing", len(rows), "images") as progress:

        def batches() -> Iterator[np.ndarray]:
            for batch in _squares(params, images, rows, regions):
                progress.advance(len(batch))
                yield batch

        files.save_array(draft / "order.npy", rows)
        write_pixels(draft, batches(), len(rows), None, about)
    held_out = {"held_out": len(rows) - ends[0]} if len(parts) > 1 else {}
    return {"images": ends[0], "side": params.side, **held_out}


Part = tuple[np.ndarray, list[Region] | None]  # each one's image, by index, and region of it; None for the centre


def _parts(params: PreprocessParams, images: Images, kept: np.ndarray) -> dict[str, Part]:
    """What is made a square, by split, `train` first, each in its order."""
    rows, regions = _regions(params, images, _of_classes(params.classes, images, kept))
    order = np.random.default_rng(params.seed).permutation(len(rows))
    if isinstance(params.held_out, int):
        if params.held_out >= len(count := np.unique(rows)):
            raise UserError(f"preprocess.held_out is {params.held_out}, of {len(count)} images: leave some to train on")
        if not params.held_out:
            return {"train": _chosen(rows, regions, order)}
        # By image: two faces of one photograph are not on both sides.
        drawn = np.random.default_rng([params.seed, 1]).permutation(np.unique(rows))[: params.held_out]
        apart = np.isin(rows[order], drawn)
        parts = {"train": order[~apart], HELD_OUT: order[apart]}
        return {name: _chosen(rows, regions, part) for name, part in parts.items()}
    named = {"train": _chosen(rows, regions, order)}
    for name in params.held_out:
        if name not in images.splits or name == "train":
            others = ", ".join(other for other in images.splits if other != "train") or "none"
            raise UserError(f"preprocess.held_out names {name}, but the splits to hold out are {others}")
        named[name] = _regions(params, images, _of_classes(params.classes, images, images.rows(name)))
    return named


def _chosen(rows: np.ndarray, regions: list[Region] | None, order: np.ndarray) -> Part:
    return rows[order], None if regions is None else [regions[place] for place in order]


def _of_classes(classes: list[str], images: Images, rows: np.ndarray) -> np.ndarray:
    if not classes:
        return rows
    if unknown := [name for name in classes if name not in images.classes]:
        raise UserError(
            f"preprocess.classes names {unknown[0]}, but the classes are {', '.join(images.classes) or 'none'}"
        )
    wanted = [number for number, name in enumerate(images.classes) if name in classes]
    found = rows[np.isin(images.labels_at(rows), wanted)]
    if not len(found):
        raise UserError(f"no image is of preprocess.classes, {', '.join(classes)}")
    return found


def _squares(
    params: PreprocessParams, images: Images, rows: np.ndarray, regions: list[Region] | None
) -> Iterator[np.ndarray]:
    if params.crop == "pairs":
        sides = [images.squares(rows, params.side, params.resize, [half] * len(rows)) for half in HALVES]
        for left, right in zip(*sides, strict=True):
            yield np.concatenate([left, right], axis=3)
        return
    for batch in images.squares(rows, params.side, params.resize, regions):
        yield grey(batch) if params.grey else batch


def _regions(params: PreprocessParams, images: Images, kept: np.ndarray) -> Part:
    """What is made a square: of each the image's index, and the region of it; None for the centre crop."""
    if params.crop in ("center", "pairs"):
        return kept, None
    if params.crop == "none":
        return kept, [WHOLE] * len(kept)
    if "detector" not in images.manifest:
        raise UserError(
            "preprocess.crop is faces, but nobody has searched for faces: set download.faces to haar, for images of "
            "your own or of a set that comes as image files"
        )
    rows, regions = [], []
    for row, facts in zip(kept.tolist(), images.facts(kept), strict=True):
        for face in (Face(*face) for face in facts["faces"]):
            if min(face.width, face.height) >= params.smallest_face:
                rows.append(row)
                regions.append(region(face, facts["width"], facts["height"], params.margin))
    if not rows:
        least = params.smallest_face
        raise UserError(f"no image shows a face of {least} pixels or more: lower preprocess.smallest_face")
    return np.array(rows), regions
