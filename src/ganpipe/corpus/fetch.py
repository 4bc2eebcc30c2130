"""Resumable, verified download of one file from a list of mirrors."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import httpx

from ganpipe import files
from ganpipe.corpus import ranges
from ganpipe.corpus.http import PLAIN, TIMEOUT, FetchError, PassingError, check, persistently
from ganpipe.progress import Progress

SEVERAL_PAY = 2 * ranges.SEGMENT  # bytes from which on a file is fetched over several connections


def mirrors(name: str, file: str, urls: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses of `file` of the set `name`, with GANPIPE_MIRROR, a folder or an address, in front if it is set."""
    front = os.environ.get("GANPIPE_MIRROR", "").rstrip("/")
    return (f"{front}/{name}/{file}", *urls) if front else urls


def fetch(urls: tuple[str, ...], to: Path, size: int, md5: str) -> Path:
    """The file at `to`, from the first of `urls` (http, https or a path) that yields exactly these bytes.

    What an interrupted download left in `to` + `.part` is continued. A file of the wrong content is never kept.
    Raises FetchError.
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
            resumed = part.exists()
            _continue(url, part, size)
            if resumed and not _is(part, size, md5):  # what had lain there was the beginning of another file
                ranges.Ledger(part, size).forget()
                _continue(url, part, size)
            if not _is(part, size, md5):
                ranges.Ledger(part, size).forget()
                raise FetchError("the file it gave has the wrong checksum, and was thrown away")
        except (FetchError, PassingError, httpx.HTTPError, httpx.InvalidURL) as error:
            faults.append(f"{url}: {error or type(error).__name__}")
            continue
        part.replace(to)
        ranges.Ledger(part, size).forget()
        return to
    raise FetchError("; ".join(faults))


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


def _continue(url: str, part: Path, size: int) -> None:
    """Bring `part` to `size` bytes from one mirror, over a few attempts that each go on where the last one stopped."""
    if not url.startswith(("http://", "https://")):
        path = Path(url.removeprefix("file://"))
        if not path.is_file():
            raise FetchError("no such file")
        with files.atomic(part) as draft:
            shutil.copyfile(path, draft)
        return
    if size > SEVERAL_PAY and ranges.fetch(url, part, size):
        return
    ranges.Ledger(part, size).keep_beginning()
    persistently(_stream, url, part, size)


def _stream(url: str, part: Path, size: int) -> None:
    start = part.stat().st_size if part.exists() else 0
    if start >= size:  # whole, to be verified by the caller; or of another file, and then thrown away by it
        return
    headers = {"Range": f"bytes={start}-", **PLAIN} if start else PLAIN
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        if response.status_code == 416:  # what is there is not a beginning of this file
            part.unlink()
            raise PassingError("could not go on where the download had stopped")
        check(response)
        if response.status_code != 206:
            start = 0
        with part.open("ab" if start else "wb") as file, Progress(part.stem, size, "bytes", start) as progress:
            for chunk in response.iter_bytes():
                if file.tell() + len(chunk) > size:
                    raise FetchError(f"sent more than the {size:,} bytes of the published file")
                file.write(chunk)
                progress.advance(len(chunk))
    if part.stat().st_size < size:
        raise PassingError(f"stopped after {part.stat().st_size:,} of {size:,} bytes")


def _is(path: Path, size: int, md5: str) -> bool:
    if path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == md5
