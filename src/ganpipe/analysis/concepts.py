"""Concepts as sets of samples, and sums of them, from a file: `smiling woman - neutral woman + neutral man`.

    {"concepts": {"smiling woman": [12, 80, 31], "neutral woman": [...], "neutral man": "male & !smiling", ...},
     "expressions": ["smiling woman - neutral woman + neutral man"],
     "turns": [["looking left", "looking right"]],
     "model": "3f2a91c07be4d518", "seed": 0}

A concept is picked by hand, as numbers of samples, or described by attributes, whose first samples are then taken.
Numbers mean something for one generator and seed only: the last two say for which (`handwritten.refuse_others`).
"""

import re
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ganpipe.analysis import labels
from ganpipe.analysis.handwritten import Drawn, read_json, refuse_others
from ganpipe.errors import UserError

MOST, MOST_EXEMPLARS, LONGEST = 100, 100, 200  # concepts, expressions and turns; samples of one; characters of a text
OF = ("model", "seed")  # what says which samples the numbers are of
Term = tuple[int, str]  # 1 or -1, and a concept's name


class Picked(NamedTuple):
    """What a file asks for, its names known and its samples there."""

    concepts: dict[str, list[int] | str]  # samples, or the attributes that describe them
    expressions: list[list[Term]]
    turns: list[tuple[str, str]]


def parse(text: str, known: Container[str]) -> list[Term]:
    """The terms of names joined by + and -. UserError where it is no such sum, or names what is not known."""
    parts = re.split(r"([+-])", text)
    names = [_plain(name) for name in parts[::2]]
    if len(text) > LONGEST or not all(names):
        raise UserError(f"{text[:LONGEST]!r} is no sum: write concepts with + or - between them, as in a - b + c")
    for name in names:
        if name not in known:
            raise UserError(f"{text!r} names {name!r}, which is none of the concepts")
    return [(-1 if sign == "-" else 1, name) for sign, name in zip(["+", *parts[1::2]], names, strict=True)]


def spell(terms: list[Term]) -> str:
    """The sum as text."""
    return "".join(f" {'+' if sign > 0 else '-'} {name}" for sign, name in terms).removeprefix(" + ")


def read(setting: str, path: Path, samples: int, drawn: Drawn, attributes: Sequence[str]) -> Picked:
    """The file's contents, as the text above shows them. UserError where it is otherwise.

    There are so many samples, those of `drawn`, and these attributes to describe concepts by.
    """
    held = read_json(setting, path)
    if not isinstance(held, dict) or not held.keys() <= {*Picked._fields, *OF} or not held.get("concepts"):
        names = ", ".join((*Picked._fields[1:], *OF))
        raise UserError(f"{path}: it is to be an object with concepts, and where wanted {names}")
    if not isinstance(held["concepts"], dict) or len(held["concepts"]) > MOST:
        raise UserError(f"{path}: concepts is to be an object of at most {MOST} names, each with its samples")
    concepts = {
        _name(path, name): _exemplars(path, name, each, samples, attributes) for name, each in held["concepts"].items()
    }
    if not all(isinstance(each, str) for each in concepts.values()):
        refuse_others(path, held, drawn)
    try:
        expressions = [parse(text, concepts) for text in _texts(path, "expressions", held.get("expressions", []))]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    turns = []
    for pair in _list(path, "turns", held.get("turns", [])):
        ends = [_plain(name) for name in _texts(path, "turns", pair)]
        if len(ends) != 2 or not all(end in concepts for end in ends):
            raise UserError(f"{path}: a turn is to name two of the concepts, from which and to which, not {pair!r:.80}")
        turns.append((ends[0], ends[1]))
    return Picked(concepts, expressions, turns)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _name(path: Path, name: str) -> str:
    if not _plain(name) or len(name) > LONGEST or not name.isprintable() or re.search("[+-]", name):
        raise UserError(f"{path}: {name[:80]!r} is no name of a concept: use letters and spaces, and neither + nor -")
    return _plain(name)


def _exemplars(path: Path, name: str, held: Any, samples: int, attributes: Sequence[str]) -> list[int] | str:
    if isinstance(held, str):
        [text] = _texts(path, "concepts", [held])
        try:
            labels.conditions(text, attributes)
        except UserError as error:
            raise UserError(f"{path}: the concept {name!r}: {error}; analyse.attributes names them") from None
        return text
    if not isinstance(held, list) or not 0 < len(held) <= MOST_EXEMPLARS or not all(type(each) is int for each in held):
        raise UserError(
            f"{path}: the concept {name!r} is to have 1 to {MOST_EXEMPLARS} numbers of samples, or attributes"
        )
    if wrong := [each for each in held if not 0 <= each < samples]:
        raise UserError(
            f"{path}: the concept {name!r} has sample {str(wrong[0])[:20]}; they go from 0 to {samples - 1}"
        )
    return held


def _list(path: Path, key: str, held: Any) -> list[Any]:
    if not isinstance(held, list) or len(held) > MOST:
        raise UserError(f"{path}: {key} is to be a list of at most {MOST}, not {str(held)[:80]!a}")
    return held


def _texts(path: Path, key: str, held: Any) -> list[str]:
    for each in _list(path, key, held):
        if not isinstance(each, str) or len(each) > LONGEST:
            raise UserError(f"{path}: in {key} {str(each)[:80]!a} is no text of at most {LONGEST} characters")
    return list(held)
