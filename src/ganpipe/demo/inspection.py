"""What a discriminator sees in an image, and which training images it takes for the like."""

from typing import Any

import numpy as np

from ganpipe.dedupe import projection
from ganpipe.demo.decoder import Square
from ganpipe.demo.known import Known
from ganpipe.demo.pictures import address, maps, to_network
from ganpipe.demo.served import Served


def wanted(served: Served) -> list[Square]:
    """The forms in which `inspect` takes the image: as the network does, and as the hash does."""
    resize = served.model.config.get("corpus", {}).get("resize") or "bilinear"
    return [Square(served.model.size, resize), Square(projection.SIZE, projection.RESIZE)]


def inspect(served: Served, seen: np.ndarray, small: np.ndarray) -> dict[str, Any]:
    """The JSON of the answer, of uint8 (size, size, 3) and (32, 32, 3)."""
    logits, features, *layers = served.network("discriminator").run(None, {"images": to_network(seen[None])})
    answer: dict[str, Any] = {
        "seen": address(seen),
        "logit": float(logits[0]),
        "layers": [
            {"filters": layer.shape[1], "side": layer.shape[2], "picture": address(maps(layer[0]))} for layer in layers
        ],
    }
    known = served.known
    if known is None:
        why = {"why": served.no_corpus}
        return {**answer, "training": why, "duplicate": why}
    known.start()
    return {**answer, "training": _neighbours(known, features[0]), "duplicate": _duplicate(known, small)}


def _neighbours(known: Known, features: np.ndarray) -> dict[str, Any]:
    if known.failure is not None:
        return {"why": known.failure}
    near = [
        {"name": f"#{each.row}", "distance": each.distance, "picture": _shown(known, each.row)}
        for each in known.nearest(features)
    ]
    return {"ready": known.share, "compared": len(known.rows), "images": known.count, "nearest": near}


def _duplicate(known: Known, small: np.ndarray) -> dict[str, Any]:
    if known.no_hash is not None:
        return {"why": known.failure or known.no_hash}
    found, bits = known.duplicate(small)
    answer: dict[str, Any] = {"compared": len(known.hashed), "images": known.count, "bits": bits, "found": None}
    if found is not None:
        answer["found"] = {"name": f"#{found.row}", "bits": found.distance, "picture": _shown(known, found.row)}
    return answer


def _shown(known: Known, row: int) -> str:
    return address(known.images.pixels(np.array([row]))[0])
