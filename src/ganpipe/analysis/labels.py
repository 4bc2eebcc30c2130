"""Attributes that are known of real images: scores, numbers or words in what is kept with each of them.

`smiling` is a score from 0 to 1, true from 0.5, or true and false; `age>50`, `age<20`, `gender=male` compare.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError

ENCODED = "encoded"
FORM = re.compile(r"([^=<>!&]+)(?:([=<>])([^=<>!&]+))?")


class Attribute(NamedTuple):
    """What is asked of one fact; without a relation, whether it holds."""

    fact: str
    relation: str = ""
    value: str = ""


def parse(text: str) -> Attribute:
    """UserError where it is none."""
    found = FORM.fullmatch(text)
    parts = [part.strip() for part in found.groups("")] if found else []
    if not parts or not parts[0] or bool(parts[1]) != bool(parts[2]):
        raise UserError(f"{text[:80]!r} is no attribute: write smiling, gender=male, age>50 or age<20")
    if parts[1] in ("<", ">") and _number(parts[2]) is None:
        raise UserError(f"{text[:80]!r} compares with {parts[2][:80]!r}, which is no number")
    return Attribute(*parts)


def conditions(text: str, known: Sequence[str]) -> list[tuple[bool, str]]:
    """Of `male & !smiling` each attribute, and whether it is wanted. UserError where one is not `known`."""
    found = []
    for part in text.split("&"):
        name = part.strip()
        wanted, name = not name.startswith("!"), name.removeprefix("!").strip()
        if name not in known:
            raise UserError(
                f"{text[:80]!r} asks for {name[:80]!r}, which is none of the attributes: {', '.join(known) or 'none'}"
            )
        found.append((wanted, name))
    return found


def facts(corpus: Images, raw: Images, rows: np.ndarray) -> list[dict[str, Any]]:
    """What was kept with the images that `corpus` has at those rows, when made of `raw`. UserError if it was not."""
    if raw.manifest["container"] != ENCODED:
        raise UserError(f"{raw.folder} holds pixels alone, with which no attributes are kept: choose none to look at")
    if corpus.manifest.get("corpus", {}).get("digest") != raw.digest:
        raise UserError(
            f"{corpus.folder} was not made of {raw.folder} as it is now: `dvc repro preprocess` makes it anew"
        )
    order = np.load(corpus.folder / "order.npy")
    return list(raw.facts(order[rows]))


def truth(attribute: Attribute, held: Iterable[dict[str, Any]]) -> np.ndarray:
    """Of each image 1 where the attribute holds, 0 where it does not, NaN where that is not known: float64 (n,)."""
    return np.array([_holds(attribute, facts.get(attribute.fact)) for facts in held], np.float64)


def _holds(attribute: Attribute, fact: Any) -> float:
    name, relation, value = attribute
    if not isinstance(fact, str | int | float) or (isinstance(fact, float) and math.isnan(fact)):
        return math.nan
    if relation == "=":
        wanted = _number(value)
        return float(str(fact) == value if wanted is None or isinstance(fact, str) else fact == wanted)
    if isinstance(fact, str):
        raise UserError(f"the attribute {name} is a word, such as {fact[:40]!r}: write {name}=WORD")
    if not relation and not 0 <= fact <= 1:
        raise UserError(f"the attribute {name} is a number, such as {str(fact)[:40]}: write {name}>N or {name}<N")
    if not relation:
        return float(fact >= 0.5)
    return float(fact > float(value) if relation == ">" else fact < float(value))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
