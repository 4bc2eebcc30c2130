"""The preprocess stage: the images that dedupe kept, as square pixels in a seeded order."""

from pathlib import Path
from typing import Any

import numpy as np

from ganpipe import files
from ganpipe.corpus.params import PreprocessParams
from ganpipe.corpus.shards import Images, write_pixels
from ganpipe.progress import Progress


def preprocess(params: PreprocessParams, images: Images, kept: np.ndarray, out: Path) -> dict[str, Any]:
    """Write pixel shards of `images` at the indices `kept`, with the order they stand in; the stage's figures."""
    order = np.random.default_rng(params.seed).permutation(kept)
    about = {
        "side": params.side,
        "resize": params.resize,
        "seed": params.seed,
        "corpus": {**{key: images.manifest.get(key) for key in ("name", "title", "licence")}, "digest": images.digest},
    }
    with files.atomic_folder(out) as draft, Progress("preprocessing", len(order), "images") as progress:

        def batches() -> Any:
            for batch in images.squares(order, params.side, params.resize):
                progress.advance(len(batch))
                yield batch

        files.save_array(draft / "order.npy", order)
        write_pixels(draft, batches(), len(order), None, about)
    return {"images": len(order), "side": params.side}
