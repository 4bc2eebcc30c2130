"""Images of people: names of those born since a year, from DBpedia, and what Commons finds by each name.

So the paper's faces were found: "names of people born in the modern era" from DBpedia, and a search for each.
The days since that year come in a shuffled order that is always the same, so that a search that ends early has people
of all ages, and not those of the first months only.
"""

import functools
import hashlib
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from typing import Any, NamedTuple

from ganpipe.corpus import apis
from ganpipe.corpus.apis import Image
from ganpipe.corpus.asker import Asker

GROWN_UP = 18  # years
State = dict[str, Any]
FIRST: apis.Cursor = {"page": 1}


class Step(NamedTuple):
    """What one request found, and where the search goes on: None at its end."""

    images: list[Image]
    following: State | None
    person: str | None = None


def grown_up(today: date) -> date:
    """The birthday of the youngest who are looked for: no children are."""
    return date(today.year - GROWN_UP, 1, 1)


def start(each: int, until: date) -> State:
    """Where a search begins: of people born `until` then, so that a search that goes on tomorrow is the same one."""
    return {"until": until.isoformat(), "day": 0, "offset": 0, "names": [], "left": each, "cursor": FIRST}


def step(asker: Asker, since: int, each: int, state: State, urls: AbstractSet[str], asked: AbstractSet[str]) -> Step:
    """Ask for the next names, or for the next page of the first of them.

    `urls` are known already, and of the people in `asked` nothing more is looked for.
    """
    order = days(since, date.fromisoformat(state["until"]))
    if not state["names"]:
        names, offset = apis.born(asker, order[state["day"]], state["offset"])
        fresh = [name for name in dict.fromkeys(names) if name not in asked]
        day = state["day"] if offset else state["day"] + 1
        following = {**state, "day": day, "offset": offset or 0, "names": fresh, "left": each, "cursor": FIRST}
        return Step([], _unless_over(following, order))
    name, *others = state["names"]
    page = apis.commons(asker, apis.quoted(name), each, state["cursor"])
    found = {image["url"]: {**image, "person": name} for image in page.images if image["url"] not in urls}
    images = list(found.values())[: state["left"]]
    left = state["left"] - len(images)
    if page.following and left and images:  # a page of nothing new ends it, or one name might take hours
        return Step(images, {**state, "left": left, "cursor": page.following}, name)
    return Step(images, _unless_over({**state, "names": others, "left": each, "cursor": FIRST}, order), name)


@functools.cache
def days(since: int, until: date) -> list[date]:
    """Those from the year `since` until then, shuffled, the same way each time."""
    first = date(since, 1, 1)
    every = [first + timedelta(days=number) for number in range((until - first).days + 1)]
    return sorted(every, key=lambda day: hashlib.sha256(day.isoformat().encode()).digest())


def _unless_over(state: State, order: list[date]) -> State | None:
    return state if state["names"] or state["day"] < len(order) else None
