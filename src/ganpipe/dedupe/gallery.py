"""The page on which a person reviews what dedupe decided: one HTML file that asks nothing of any other.

`gallery.html`, beside this module, is its template. What is not fixed there (names come from scraped files) reaches the
page as escaped text, or as JSON that its script takes for text; the page's policy lets no other script run.
"""

import base64
import hashlib
import heapq
import html
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from ganpipe import files
from ganpipe.dedupe.vetoes import Veto

# What a page shows at most: a browser must open it.
GROUPS, MEMBERS, IMAGES = 5_000, 40, 40_000
THEN = "name it in <code>dedupe.vetoes</code> and run <code>dvc repro</code>"
SIDE = 96  # pixels of a thumbnail, at most
BLOCK = 256  # thumbnails that the script takes apart at a time, when one of them comes into sight


class Shown(NamedTuple):
    """An image on the page."""

    name: str  # what a person finds it by: a file's name, or "cifar10 test #123"
    key: str  # hex digest of its content, by which vetoes are told
    thumbnail: np.ndarray  # uint8 (h, w, 3), at most SIDE; of one shape on a page
    distance: int  # bits to the kept image; 0 for the kept


class Group(NamedTuple):
    """Near-duplicates; of a leak the kept one is an evaluation set's test image."""

    kind: Literal["duplicates", "leak"]
    images: list[Shown]  # the kept first; of a large one the farthest are enough
    size: int | None = None  # of the group, where these are not all


class _Card(NamedTuple):
    """What the page holds of a group."""

    kind: str
    size: int  # of the group, with the images that are left out
    images: list[tuple[str, str, int]]  # name, key, distance
    thumbnails: list[str]  # base64
    shapes: set[tuple[int, ...]]


def write(
    path: Path,
    groups: Iterable[Group],
    about: dict[str, Any],
    vetoes: Collection[Veto] = (),
    counts: Counter[str] | None = None,
) -> None:
    """Write the page: the groups worst first, by the largest distance within them, then by their size.

    Where there are more than `GROUPS`, and `counts` says how many of each kind, only so many are asked for: they must
    come in that order. `about` holds title, method, radius (bits), images, kept and removed, to show, and `then`, HTML
    that says what to do with the saved vetoes. `vetoes` are those that the groups were made with: the page shows them,
    and its saved file holds them too. Equal arguments give equal bytes. ValueError for a group without a removed image,
    and for thumbnails that are not as `Shown` says.
    """
    cards, found = _worst(groups if counts is None else islice(groups, GROUPS))
    found = found if counts is None else counts
    shapes = sorted({shape for card in cards for shape in card.shapes})
    if len(shapes) > 1:
        raise ValueError(f"thumbnails of one page must be equal in shape: {shapes}")
    data = {
        "shape": shapes[0][:2] if shapes else (1, 1),
        "block": BLOCK,
        "groups": [(card.kind, card.size, card.images) for card in cards],
        "vetoes": sorted(sorted(veto) for veto in vetoes),
    }
    values = {
        "title": _text(about["title"]),
        "facts": _facts(about, found),
        "then": about.get("then", THEN),
        "left": _left_out(cards, found),
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),  # no tag begins within a script
        "thumbnails": _blocks([thumbnail for card in cards for thumbnail in card.thumbnails]),
    }
    values["digest"] = hashlib.sha256("\0".join(values.values()).encode()).hexdigest()[:16]
    template = Path(__file__).with_name("gallery.html").read_text(encoding="utf-8")
    values |= {f"{tag}hash": _source_hash(template, tag) for tag in ("style", "script")}
    page = re.sub("@([a-z]+)@", lambda mark: values[mark[1]], template)
    with files.atomic(path) as draft:
        draft.write_bytes(page.encode())


def _worst(groups: Iterable[Group]) -> tuple[list[_Card], Counter[str]]:
    """The cards that the page has room for, in their order, and how many groups of each kind there are."""
    found: Counter[str] = Counter()
    held: list[tuple[tuple[int, int, int], _Card]] = []
    for number, group in enumerate(groups):
        if len(group.images) < 2:
            raise ValueError(f"group {number} has no removed image")
        found[group.kind] += 1
        rank = (max(image.distance for image in group.images), _size(group), -number)
        # A thumbnail is packed as it comes, so that a page is held and not a corpus.
        if len(held) < GROUPS:
            heapq.heappush(held, (rank, _card(group)))
        elif rank > held[0][0]:
            heapq.heapreplace(held, (rank, _card(group)))
    cards = [card for _, card in sorted(held, reverse=True)]
    together = accumulate(len(card.images) for card in cards)
    return [card for card, images in zip(cards, together, strict=True) if images <= IMAGES], found


def _card(group: Group) -> _Card:
    """A group with its farthest images, if there are too many of them."""
    kept, *removed = group.images
    images = [kept, *sorted(removed, key=lambda image: -image.distance)][:MEMBERS]
    return _Card(
        group.kind,
        _size(group),
        [(_printable(image.name), image.key, int(image.distance)) for image in images],
        [_packed(image.thumbnail) for image in images],
        {image.thumbnail.shape for image in images},
    )


def _size(group: Group) -> int:
    return len(group.images) if group.size is None else group.size


def _packed(thumbnail: np.ndarray) -> str:
    """Base64 of WebP, two thirds of a JPEG at this size; a file an image, so that none bleeds into its neighbour."""
    shape = thumbnail.shape
    if thumbnail.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or not 0 < min(shape) <= max(shape) <= SIDE:
        raise ValueError(f"a thumbnail must be uint8 (h, w, 3), {SIDE} pixels a side at most, not {shape}")
    file = io.BytesIO()
    Image.fromarray(thumbnail).save(file, "WEBP", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def _blocks(thumbnails: list[str]) -> str:
    """Thumbnails a line each, in scripts that are none, so that the browser leaves them alone until they are shown."""
    parts = ("\n".join(thumbnails[start : start + BLOCK]) for start in range(0, len(thumbnails), BLOCK))
    return "\n".join(
        f'<script type="text/plain" id="thumbnails-{number}">{part}</script>' for number, part in enumerate(parts)
    )


def _facts(about: dict[str, Any], found: Counter[str]) -> str:
    rows = {
        "images": about["images"],
        "kept": about["kept"],
        "removed": about["removed"],
        "groups": found.total(),
        "leaks": found["leak"],
        "method": about["method"],
        "radius (bits)": about["radius"],
    }
    return "".join(f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in rows.items())


def _left_out(cards: list[_Card], found: Counter[str]) -> str:
    groups = found.total() - len(cards)
    leaks = found["leak"] - sum(card.kind == "leak" for card in cards)
    images = sum(card.size - len(card.images) for card in cards)
    parts = []
    if groups:
        parts.append(f"{groups:,} groups with smaller distances, {leaks:,} of them leaks")
    if images:
        parts.append(f"{images:,} images of groups with more than {MEMBERS}")
    return f"Left out: {'; '.join(parts)}." if parts else ""


def _text(value: Any) -> str:
    return html.escape(f"{value:,}" if isinstance(value, int) else _printable(str(value)))


def _printable(name: str) -> str:
    """The name, with escapes in Python's way for what cannot be seen or turns the writing around."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _source_hash(template: str, tag: str) -> str:
    """What the page's policy knows its one style or script by: 'sha256-' and base64, of the text within the tag."""
    source = re.search(f"<{tag}>(.*)</{tag}>", template, re.DOTALL)
    assert source is not None  # noqa: S101  # the template is our own
    return f"'sha256-{base64.b64encode(hashlib.sha256(source[1].encode()).digest()).decode()}'"
