"""The preprocess stage: the images that dedupe kept, as square pixels in a seeded order."""

from pathlib import Path
from typing import Any

import numpy as np

from ganpipe import files
from ganpipe.corpus.faces import Face, region
from ganpipe.corpus.images import Region
from ganpipe.corpus.params import PreprocessParams
from ganpipe.corpus.shards import Images, write_pixels
from ganpipe.errors import UserError
from ganpipe.progress import Progress


def preprocess(params: PreprocessParams, images: Images, kept: np.ndarray, out: Path) -> dict[str, Any]:
    """Write pixel shards of `images` at the indices `kept`, with the order they stand in; the stage's figures.

    With `crop: faces` there is a square for each face that is large enough, and none of an image without one.
    """
    rows, regions = _regions(params, images, kept)
    order = np.random.default_rng(params.seed).permutation(len(rows))
    about = {
        "side": params.side,
        "resize": params.resize,
        "crop": params.crop,
        "seed": params.seed,
        "corpus": {**{key: images.manifest.get(key) for key in ("name", "title", "licence")}, "digest": images.digest},
    }
    with files.atomic_folder(out) as draft, Progress("preprocessing", len(order), "images") as progress:

        def batches() -> Any:
            wanted = None if regions is None else [regions[place] for place in order]
            for batch in images.squares(rows[order], params.side, params.resize, wanted):
                progress.advance(len(batch))
                yield batch

        files.save_array(draft / "order.npy", rows[order])
        write_pixels(draft, batches(), len(order), None, about)
    return {"images": len(order), "side": params.side}


def _regions(params: PreprocessParams, images: Images, kept: np.ndarray) -> tuple[np.ndarray, list[Region] | None]:
    """What is made a square: of each the image's index, and the region of it; None for the centre crop."""
    if params.crop == "center":
        return kept, None
    if params.crop == "none":
        return kept, [(0.0, 0.0, 1.0, 1.0)] * len(kept)
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
