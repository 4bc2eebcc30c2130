"""What a discriminator's training images are known by: their features, and the codes of the corpus's hash.

Features are taken once, in the background, and kept in `.ckpt/demo`; they are standardised as they are compared.
"""

import os
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganpipe import files
from ganpipe.corpus.images import square
from ganpipe.corpus.shards import Images
from ganpipe.dedupe import hashes, likeness, projection, whitened
from ganpipe.dedupe.index import Hashing
from ganpipe.demo.exported import cached, session
from ganpipe.demo.models import Model
from ganpipe.demo.pictures import to_network
from ganpipe.errors import UserError
from ganpipe.manifest import MANIFEST, read_manifest

BYTES, MOST = 256 << 20, 8192  # of features that are held, in half precision; images that are compared, at the most
HASHED = 100_000  # images whose codes are looked at, at the most
BATCH, BLOCK = 16, 1024
SHOWN = 8  # nearest images
BITS, RADIUS = 128, 25  # of a hash that is made here; the radius that dedupe measures on CIFAR-10
LOOKED_AT = 32  # images with the nearest codes, whose pixels are compared


class Near(NamedTuple):
    """A training image and how far it is: in standard deviations of features, or in bits."""

    row: int
    distance: float


class Known:
    """The training images of one model. `prepare` fills it; what is asked before is answered with what there is."""

    def __init__(self, model: Model, images: Images) -> None:
        self.model, self.images = model, images
        every = images.rows("train") if "train" in images.splits else np.arange(len(images))
        source = np.random.default_rng(0)
        filters = model.config["discriminator"]
        self._each = 2 * _feature_count(filters)
        self.rows = np.sort(source.permutation(every)[: max(1, min(MOST, BYTES // self._each))])
        self.hashed = np.sort(source.permutation(every)[:HASHED])
        self.count = len(every)
        self._taken = 0.0  # of the features
        self.no_hash: str | None = "the training images are being hashed: ask again in some seconds"
        self.failure: str | None = None
        self._features: np.ndarray | None = None  # float16 (n, d)
        self._inverse = np.empty(0, np.float32)  # of each feature's standard deviation
        self._hashing: Hashing | None = None
        self._radius = 0
        self._squares = self._codes = np.empty(0, np.uint8)
        self._started = threading.Lock()

    @property
    def share(self) -> float:
        """Of the features that are there; 1 once they can be compared."""
        return 1.0 if self._features is not None else min(0.99, self._taken)

    def start(self) -> None:
        """Prepare it in a thread, unless that is done or going on."""
        if self._started.acquire(blocking=False):
            threading.Thread(target=self._prepare_patiently, daemon=True).start()

    def prepare(self) -> None:
        """The codes first, which take seconds, then the features, which may take minutes."""
        try:
            self._hash()
            self._take_features()
        except Exception as error:
            self.failure = f"the training images could not be looked at: {error}"
            raise

    def _prepare_patiently(self) -> None:
        if sys.platform == "linux":  # elsewhere it would be the whole process
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)
        self.prepare()

    def nearest(self, features: np.ndarray) -> list[Near]:
        """By Euclidean distance between standardised features, of one image, float32 (d,)."""
        if self._features is None:
            return []
        ours = features * self._inverse
        apart = np.empty(len(self._features), np.float32)
        for start in range(0, len(apart), BLOCK):
            block = self._features[start : start + BLOCK].astype(np.float32) * self._inverse
            apart[start : start + BLOCK] = np.linalg.norm(block - ours, axis=1)
        first = np.argsort(apart, kind="stable")[:SHOWN]
        scale = len(ours) ** 0.5  # so that two images that have nothing in common are some 1.4 apart
        return [Near(int(self.rows[place]), float(apart[place] / scale)) for place in first]

    def duplicate(self, small: np.ndarray) -> tuple[Near | None, int]:
        """The training image that is a near-duplicate of this one, uint8 (32, 32, 3); the bits to the nearest code."""
        assert self._hashing is not None  # noqa: S101 (`no_hash` says so)
        bits = np.bitwise_count(self._codes ^ self._hashing(small[None])).sum(1)
        first = np.argsort(bits, kind="stable")[:LOOKED_AT]
        least = int(bits[first[0]])
        first = first[bits[first] <= self._radius]
        if len(first):
            ours, theirs = likeness.edges(small[None].repeat(len(first), 0)), likeness.edges(self._squares[first])
            first = first[likeness.alike_in_pairs(ours, theirs)]
        return (Near(int(self.hashed[first[0]]), int(bits[first[0]])) if len(first) else None), least

    def _hash(self) -> None:
        """By what the stage dedupe made for this corpus, else by a hash that is made here, in the same way."""
        self._squares = _small(self.images, self.hashed)
        try:
            hashing, self._radius = self._of_corpus() or self._of_our_own()
        except UserError as error:
            self.no_hash = str(error)
            return
        self._codes = np.concatenate(
            [hashing(self._squares[at : at + BLOCK]) for at in range(0, len(self.hashed), BLOCK)]
        )
        self._hashing, self.no_hash = hashing, None

    def _of_corpus(self) -> tuple[Hashing, int] | None:
        folder = self.model.project / "data" / "deduped"
        about = read_manifest(folder) if (folder / MANIFEST).exists() else None
        if about is None or about["settings"]["method"] == "none":
            return None
        return _hashing(about["settings"]["method"], folder), int(about["figures"]["radius"])

    def _of_our_own(self) -> tuple[Hashing, int]:
        path = files.work_folder() / "demo" / f"{files.digest([BITS, self.images.digest])}.safetensors"
        if not path.exists():
            made = whitened.fit(BITS, 0, len(self._squares), lambda rows: self._squares[rows])
            path.parent.mkdir(parents=True, exist_ok=True)
            projection.save(path, made)
        return projection.load(path).codes, RADIUS

    def _take_features(self) -> None:
        network = cached(self.model, "discriminator")
        key = files.digest([network.stem, self.images.digest, len(self.rows)])
        path = network.with_name(f"{key}.npy")
        if not path.exists():
            running = session(self.model, "discriminator", threads=1)  # strokes come first
            made = np.empty((len(self.rows), self._each // 2), np.float16)
            for start in range(0, len(made), BATCH):
                pixels = self.images.pixels(self.rows[start : start + BATCH])
                made[start : start + BATCH] = running.run(["features"], {"images": to_network(pixels)})[0]
                self._taken = (start + len(pixels)) / len(made)
            with files.atomic(path) as draft:
                files.save_array(draft, made)
        held: Any = np.load(path, mmap_mode="r")
        self._inverse = _inverse_deviation(held)
        self._features = held


def _hashing(method: str, folder: Path) -> Hashing:
    if method in hashes.PERCEPTUAL:
        return lambda squares: hashes.perceptual(method, squares)
    return projection.load(folder / "encoder.safetensors").codes


def _small(images: Images, rows: np.ndarray) -> np.ndarray:
    """The images as they are hashed, uint8 (n, 32, 32, 3)."""
    from PIL import Image

    out = np.empty((len(rows), projection.SIZE, projection.SIZE, 3), np.uint8)
    for start in range(0, len(rows), BLOCK):
        pixels = images.pixels(rows[start : start + BLOCK])
        for place, each in enumerate(pixels, start):
            out[place] = square(Image.fromarray(each), projection.SIZE, projection.RESIZE)
    return out


def _feature_count(config: dict[str, Any]) -> int:
    from ganpipe.models.networks import make

    count: int = make("discriminator", config).feature_count  # type: ignore[assignment]
    return count


def _inverse_deviation(features: np.ndarray) -> np.ndarray:
    """Of each column, float32 (d,); 1 for a constant one."""
    total = squares = np.zeros(features.shape[1])
    for start in range(0, len(features), BLOCK):
        block = features[start : start + BLOCK].astype(np.float64)
        total, squares = total + block.sum(0), squares + (block * block).sum(0)
    mean = total / len(features)
    deviation = np.sqrt(np.maximum(squares / len(features) - mean * mean, 0))
    constant = deviation <= 1e-6 * np.abs(mean) + 1e-12
    return np.where(constant, 1.0, 1 / np.where(constant, 1.0, deviation)).astype(np.float32)
