"""Resumable download of one file from a list of mirrors: verified, where something is published of it."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import httpx

from ganpipe import files
from ganpipe.corpus import ranges, stores
from ganpipe.corpus.http import PLAIN, TIMEOUT, FetchError, PassingError, body, check, number, persistently
from ganpipe.progress import Progress

LONGEST_NAME = 100  # letters of a file here: the last ones of its address
SEVERAL_PAY = 2 * ranges.SEGMENT  # bytes from which on a file is fetched over several connections
FAULTS = (FetchError, PassingError, httpx.HTTPError, httpx.InvalidURL)


class _About(NamedTuple):
    """What a server says of a file."""

    size: int | None
    version: str  # what tells it from others of the address; empty where nothing does


def mirrors(name: str, file: str, urls: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses of `file` of the set `name`, with GANPIPE_MIRROR, a folder or an address, in front if it is set."""
    front = os.environ.get("GANPIPE_MIRROR", "").rstrip("/")
    return (f"{front}/{name}/{file}", *urls) if front else urls


def fetch(urls: tuple[str, ...], to: Path, size: int | None, md5: str) -> Path:
    """The file at `to`, from the first of `urls` (paths, or addresses that fsspec opens) that yields these bytes.

    Without a `size` it is the one that a mirror names. What an interrupted download left in `to` + `.part` is
    continued. A file of the wrong content is never kept. Raises FetchError.
    """
    if to.exists() and _is(to, size, md5):
        return to
    if not urls:
        raise FetchError(f"no address of {to.name} is known")
    part = to.with_name(to.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    faults = []
    for url in urls:
        try:
            length = _length(url, part) if size is None else size
            resumed = part.exists()
            _continue(url, part, length)
            if resumed and not _is(part, size, md5):  # what had lain there was the beginning of another file
                ranges.forget(part)
                _continue(url, part, length)
            if not _is(part, size, md5):
                ranges.forget(part)
                raise FetchError("the file it gave has the wrong checksum, and was thrown away")
        except FAULTS as error:
            faults.append(f"{url}: {error or type(error).__name__}")
            continue
        part.replace(to)
        ranges.forget(part)
        return to
    raise FetchError("; ".join(faults))


def fetch_unsigned(urls: tuple[str, ...], folder: Path) -> Path:
    """A file of which nothing is published, from the first of `urls` that gives one whole, below `folder`.

    Whole is what has the length that its server names. What an interrupted download left is continued while the server
    says, by ETag or date, that the file is still the same one; and what is here is not fetched again then. FetchError.
    """
    faults = []
    for url in urls:
        try:
            if url.startswith(("http://", "https://")):
                return _unsigned(url, folder)
            stored = stores.find(url)[0]
            return stores.copied(stored, folder / files.digest(url) / stored.name)
        except FAULTS as error:
            faults.append(f"{url}: {error or type(error).__name__}")
    raise FetchError("; ".join(faults))


def _unsigned(url: str, folder: Path) -> Path:
    about = persistently(_about, url)
    given = unquote(urlsplit(url).path).rpartition("/")[2]
    named = re.sub(r"[^\w.-]", "_", given, flags=re.ASCII)[-LONGEST_NAME:].lstrip(".")
    to = folder / files.digest([url, about.version, about.size]) / (named or "file")
    part = to.with_name(to.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    known = to.with_name(to.name + ".sha256")  # of what arrived: what a disk has damaged since is fetched again
    if not about.version or about.size is None or not (to.exists() and known.exists()):
        to.unlink(missing_ok=True)
    if not about.version or about.size is None:
        ranges.forget(part)
    if to.exists():
        if files.sha256(to) == known.read_text(encoding="utf-8", errors="replace"):
            return to
        to.unlink()
    if about.size is None:
        persistently(_stream, url, part, None)
    else:
        _refuse_beyond_disk(about.size, part)
        _continue(url, part, about.size)
        if part.stat().st_size != about.size:
            ranges.forget(part)
            raise FetchError("it sent another file than it had said")
    known.write_text(files.sha256(part), encoding="utf-8")
    part.replace(to)
    ranges.forget(part)
    return to


def npm_pack(name: str, version: str, to: Path, sha256: str) -> Path:
    """The archive of an npm package at `to`, fetched by `npm pack` without running its scripts. Raises FetchError."""
    if to.exists() and files.sha256(to) == sha256:
        return to
    if shutil.which("npm") is None:
        raise FetchError(f"npm pack {name}@{version}: npm is not installed")
    folder = to.parent / f".{name}.npm"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        command = ["npm", "pack", f"{name}@{version}", "--ignore-scripts", "--pack-destination", str(folder.resolve())]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=1800, check=False
        )
        packed = list(folder.glob("*.tgz"))
        if done.returncode or len(packed) != 1:
            lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["it failed"]
            raise FetchError(f"npm pack {name}@{version}: {lines[0]}")
        if files.sha256(packed[0]) != sha256:
            raise FetchError(f"npm pack {name}@{version}: the package it gave has the wrong checksum")
        packed[0].replace(to)
    except subprocess.TimeoutExpired:
        raise FetchError(f"npm pack {name}@{version}: no answer in 30 minutes") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return to


def _about(url: str) -> _About:
    headers = {"Range": "bytes=0-0", **PLAIN}
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        if response.status_code == 416:  # of an empty file
            return _About(0, "")
        check(response)
        told = response.headers
        span = told.get("Content-Range", "").rpartition("/")[2]
        size = span if response.status_code == 206 else told.get("Content-Length", "")
        etag = told.get("ETag", "")
        version = told.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag
        return _About(number(size), version)


def _length(url: str, part: Path) -> int:
    web = url.startswith(("http://", "https://"))
    size = persistently(_about, url).size if web else stores.find(url)[0].size
    if size is None:
        raise FetchError("does not say how long the file is")
    _refuse_beyond_disk(size, part)
    return size


def _refuse_beyond_disk(size: int, part: Path) -> None:
    """Anything can be announced, and what there is of a file is counted by segments, in memory."""
    there = part.stat().st_size if part.exists() else 0
    if size - there > shutil.disk_usage(part.parent).free:
        raise FetchError(f"announces {size:,} bytes, for which the disk has no room")


def _continue(url: str, part: Path, size: int) -> None:
    """Bring `part` to `size` bytes from one mirror, over a few attempts that each go on where the last one stopped."""
    if not url.startswith(("http://", "https://")):
        stores.copy(stores.find(url)[0], part)
        return
    if size > SEVERAL_PAY and ranges.fetch(url, part, size):
        return
    ranges.Ledger(part, size).keep_beginning()
    persistently(_stream, url, part, size)


def _stream(url: str, part: Path, size: int | None) -> None:
    """Append what `part` lacks of `size` bytes; all that there is, from its beginning, where that is not known."""
    start = part.stat().st_size if size is not None and part.exists() else 0
    if size is not None and start >= size > 0:  # whole, to be verified by the caller; or of another file
        return
    headers = {"Range": f"bytes={start}-", **PLAIN} if start else PLAIN
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        if response.status_code == 416:  # what is there is not a beginning of this file
            part.unlink()
            raise PassingError("could not go on where the download had stopped")
        check(response)
        if response.status_code != 206:
            start = 0
        total = size or number(response.headers.get("Content-Length", "")) or 0
        with part.open("ab" if start else "wb") as file, Progress(part.stem, total, "bytes", start) as progress:
            for chunk in body(response):
                if size is not None and file.tell() + len(chunk) > size:
                    raise FetchError(f"sent more than the {size:,} bytes of the published file")
                file.write(chunk)
                progress.advance(len(chunk))
    if size is not None and part.stat().st_size < size:
        raise PassingError(f"stopped after {part.stat().st_size:,} of {size:,} bytes")


def _is(path: Path, size: int | None, md5: str) -> bool:
    if size is not None and path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == md5
