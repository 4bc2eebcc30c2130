"""`vetoes.csv`: pairs of images that a person says are no duplicates, a row a pair: the digests of their contents.

The columns are image,kept; blank lines and lines that begin with # are passed over.
"""

import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from ganpipe import files
from ganpipe.errors import UserError

Veto = frozenset[str]  # two hex digests: which of them was kept does not matter

COLUMNS = ["image", "kept"]
_DIGEST = re.compile("[0-9a-f]+")  # no capitals: with them, a number that a spreadsheet rewrote (1E5) would pass


def read(path: Path) -> frozenset[Veto]:
    """The pairs of a file that the review page, `write` or a person made. UserError names the line that is wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the review page's button `Save vetoes` makes it") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): name a file of vetoes") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8 text; save it as CSV in UTF-8") from None
    rows = _rows(path, text)
    line, header = next(rows, (1, []))
    if header != COLUMNS:
        raise UserError(f"{path}, line {line}: the first row must be `image,kept`, not {_quoted(header)}")
    return frozenset(_veto(path, line, cells) for line, cells in rows)


def write(path: Path, vetoes: Collection[Veto]) -> None:
    """Write the pairs sorted, so that equal vetoes are equal bytes."""
    rows = sorted(sorted(veto) for veto in vetoes)
    with files.atomic(path) as draft:
        draft.write_bytes("".join(f"{first},{second}\n" for first, second in [COLUMNS, *rows]).encode())


def forbidden(vetoes: Collection[Veto], keys: np.ndarray) -> set[tuple[int, int]]:
    """Places i < j in `keys`, digests as numpy strings or bytes (N,), of images that must not be in one group.

    Images of equal contents have one key, and a veto holds for all of them. Digests that are not in `keys` are passed
    over: a veto outlives its images.
    """
    if not vetoes:
        return set()
    told = np.array(sorted({digest for veto in vetoes for digest in veto}), dtype=keys.dtype.kind)
    number = np.searchsorted(told, keys).clip(max=len(told) - 1)
    places: dict[str, list[int]] = {}
    for place in np.flatnonzero(told[number] == keys).tolist():
        places.setdefault(str(told[number[place]].astype(str)), []).append(place)
    pairs = (sorted(veto) for veto in vetoes)
    return {(min(i, j), max(i, j)) for a, b in pairs for i in places.get(a, ()) for j in places.get(b, ())}


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells. A digest never holds a line's end, so that each line is a row by itself."""
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip() or content.lstrip().startswith("#"):
            continue
        try:
            yield line, [cell.strip() for cell in next(csv.reader([content], strict=True))]
        except csv.Error as error:
            raise UserError(f"{path}, line {line}: not CSV: {error}") from None


def _veto(path: Path, line: int, cells: list[str]) -> Veto:
    if len(cells) != 2 or not all(_DIGEST.fullmatch(cell) for cell in cells):
        raise UserError(f"{path}, line {line}: expected two hex digests, as in `9f86d0,4e0740`, not {_quoted(cells)}")
    if cells[0] == cells[1]:
        raise UserError(f"{path}, line {line}: both digests are {_quoted(cells[:1])}: equal images are duplicates")
    return frozenset(cells)


def _quoted(cells: list[str]) -> str:
    """At most 80 characters of a line, none of which acts on a terminal."""
    text = ascii(",".join(cells))
    return text if len(text) <= 80 else f"{text[:77]}..."
