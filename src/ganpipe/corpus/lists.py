"""Lists of addresses to scrape: plain text, CSV, JSON lines or Parquet, with what they say of each image."""

import csv
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from ganpipe.errors import UserError

COLUMNS = ("url", "URL", "image_url", "link", "TEXT_URL")  # by which the address goes, the first that is there
LONGEST, LONGEST_LINE = 8192, 16 << 20  # characters of an address, and of a line that holds one


class Wanted(NamedTuple):
    """One image to fetch, and what the list says of it, such as licence, source and caption."""

    url: str
    facts: dict[str, Any]


class Listed(NamedTuple):
    """What a list holds."""

    wanted: list[Wanted]  # each address once, in the list's order
    repeated: int  # entries with an address that stands further up
    unusable: list[str]  # entries that are no http(s) address


def read(*paths: Path) -> Listed:
    """The addresses of a list, in one file or several. UserError where one is none, or they name nothing."""
    found: dict[str, Wanted] = {}
    unusable, count = [], 0
    for given, facts in itertools.chain.from_iterable(map(_entries, paths)):
        count += 1
        url = plain(given)
        if url is None:
            unusable.append(given[:LONGEST])
        else:
            found.setdefault(url, Wanted(url, facts))
    if not found:
        raise UserError(f"{paths[0]} lists no http or https addresses: it is to hold one a line, or a column named url")
    return Listed(list(found.values()), count - len(found) - len(unusable), unusable)


def _entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
    try:
        yield from readers.get(path.suffix.lower(), _text)(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: it is to list addresses, one a line or in a column named url") from None
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"{path} is no readable list of addresses: {error}") from None


def plain(url: str) -> str | None:
    """The address without fragment, scheme and host in small letters; None for one that nobody may fetch from."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
        if parts.scheme.lower() not in ("http", "https") or not host or parts.username or len(url) > LONGEST:
            return None
        host = f"[{host}]" if ":" in host else host.encode("idna").decode()
    except ValueError:
        return None
    place = host if port in (None, {"http": 80, "https": 443}[parts.scheme.lower()]) else f"{host}:{port}"
    return urlunsplit((parts.scheme.lower(), place, parts.path or "/", parts.query, ""))


def _text(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in _lines(path):
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip(), {}


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from _columns(path, csv.DictReader(_lines(path), delimiter="\t" if path.suffix.lower() == ".tsv" else ","))


def _jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    def rows() -> Iterator[dict[str, Any]]:
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}, line {number}: not JSON: {error}") from None
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}: an object with a url is due, not {line[:40]!a}")
            yield row

    yield from _columns(path, rows())


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    from ganpipe.corpus import tables

    table = tables.look(path)
    yield from _columns(path, tables.rows(table, [name for name, kind in table.types.items() if tables.is_plain(kind)]))


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise UserError(f"{path} has a line of over {LONGEST_LINE:,} characters: is it a list of addresses?")
            yield line


def _columns(path: Path, rows: Iterable[dict[Any, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in enumerate(rows, start=1):
        name = next((name for name in COLUMNS if row.get(name)), None)
        if name is None or not isinstance(row[name], str):
            raise UserError(f"{path}, entry {number}: it has no url; columns are {', '.join(map(str, row))[:200]!a}")
        facts = {
            str(key): value
            for key, value in row.items()
            if key != name and isinstance(value, str | int | float | bool) and key is not None
        }
        yield row[name], facts
