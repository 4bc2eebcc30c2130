"""Searches that give a list of images to scrape, in one string, and so that a kill at any moment loses one page."""

import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ganpipe import files
from ganpipe.corpus import apis, people
from ganpipe.corpus.apis import LICENCES, Image
from ganpipe.corpus.asker import Asker
from ganpipe.corpus.people import FIRST, State, Step
from ganpipe.errors import UserError
from ganpipe.progress import Progress

FORMS = "openverse:wild roses, openverse/cc0+by:wild roses, commons:wild roses or people:1950"
LONGEST_QUERY = 200  # characters: Openverse takes no more, and Commons hardly any
Ask = Callable[[Asker, State, "_Found"], Step]


def is_search(text: str) -> bool:
    """Whether it is to be a search, and no path."""
    return re.match(r"(openverse(/[^:]*)?|commons|people):", text) is not None


def find(text: str, most: int, each: int, contact: str, to: Path) -> Path:
    """The file `to` with what the search finds, for `lists.read`: JSON lines, an image each, `most` of them at most.

    Of each person of `people:YEAR`, `each` at most. Where `to` is there, nothing is asked. What an interrupted search
    left in `to` + `.part` is continued. UserError where it finds nothing, or an API refuses.
    """
    ask, start = _understood(text, each)
    part = to.with_name(to.name + ".part")
    if to.exists():
        part.unlink(missing_ok=True)
        return to
    with (
        _Found(part, [text, most, each], start) as found,
        Asker(contact) as asker,
        Progress("searching", most, "images", len(found.urls)) as progress,
    ):
        while found.following is not None and len(found.urls) < most:
            progress.advance(found.note(ask(asker, found.following, found), most - len(found.urls)))
        if found.urls:
            with files.atomic(to) as draft, draft.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(image, ensure_ascii=False) + "\n" for image in found.images())
    part.unlink()
    if not to.exists():
        raise UserError(f"{text} finds no images: try other words, or fewer")
    return to


class _Found:
    """The pages found so far, in a file of a line each, which is written once the page is whole; a context manager."""

    def __init__(self, path: Path, search: list[Any], start: State) -> None:
        self._path, self._search = path, search
        self.urls: set[str] = set()
        self.people: set[str] = set()  # of whom something was asked
        self.following: State | None = start

    def __enter__(self) -> "_Found":
        """Take in what is there, and cut off what a kill left half written."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        whole = 0
        for size, page in self._pages():
            if not whole and page.get("search") != self._search:
                break
            whole += size
            self._take(page)
        self._file = self._path.open("ab")
        os.truncate(self._path, whole)
        if not whole:
            self._write({"search": self._search, "images": [], "person": None, "following": self.following})
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def note(self, step: Step, room: int) -> int:
        """Keep what is new of it, `room` images at most; how many."""
        new: dict[str, Image] = {}
        for image in step.images:
            if image["url"] not in self.urls:
                new.setdefault(image["url"], image)
        images = list(new.values())[:room]
        page = {"images": images, "person": step.person, "following": step.following}
        self._write(page)
        self._take(page)
        return len(images)

    def images(self) -> Iterator[Image]:
        for _, page in self._pages():
            yield from page["images"]

    def _take(self, page: dict[str, Any]) -> None:
        self.urls.update(image["url"] for image in page["images"])
        self.people.update([page["person"]] if page["person"] else [])
        self.following = page["following"]

    def _write(self, page: dict[str, Any]) -> None:
        self._file.write(json.dumps(page).encode() + b"\n")
        self._file.flush()

    def _pages(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each whole one, and how many bytes its line has."""
        if self._path.exists():
            with self._path.open("rb") as file:
                for line in file:
                    try:
                        page = json.loads(line)
                    except ValueError:  # half of one, or what a crash of the machine left
                        return
                    if not line.endswith(b"\n"):
                        return
                    yield len(line), page


def _understood(text: str, each: int) -> tuple[Ask, State]:
    """How to ask for the next page, and where to begin. UserError where the search is written in no known way."""
    kind, _, query = text.partition(":")
    kind, _, licences = kind.partition("/")
    query = query.strip()
    if not is_search(text) or not query:
        raise UserError(f"{text!a} is no search: write one as {FORMS}")
    if len(query) > LONGEST_QUERY or not query.isprintable():
        raise UserError(
            f"{text[:50]!a}...: a search has {LONGEST_QUERY} characters at most, and none that do not print"
        )
    if kind == "people":
        return _people(text, query, each)
    wanted = _licences(text, licences)

    def ask(asker: Asker, state: State, _: _Found) -> Step:
        if kind == "commons":
            page = apis.commons(asker, query, apis.COMMONS_PAGE, state)
        else:
            page = apis.openverse(asker, query, wanted, state)
        return Step([{**image, "query": query} for image in page.images], page.following)

    return ask, FIRST


def _people(text: str, year: str, each: int) -> tuple[Ask, State]:
    grown_up = people.grown_up(datetime.now(UTC).date())
    if not re.fullmatch(r"[0-9]{4}", year) or not 1 <= int(year) < grown_up.year:
        raise UserError(
            f"{text!a} is no search for people: write the year since when they are born, as people:1950, before "
            f"{grown_up.year}: no images of children are looked for"
        )

    def ask(asker: Asker, state: State, found: _Found) -> Step:
        return people.step(asker, int(year), each, state, found.urls, found.people)

    return ask, people.start(each, grown_up)


def _licences(text: str, licences: str) -> tuple[str, ...]:
    """Those between `openverse/` and the colon."""
    wanted = tuple(licences.lower().split("+")) if "/" in text.partition(":")[0] else ()
    if unknown := [each for each in wanted if each not in LICENCES]:
        raise UserError(f"{text!a}: {unknown[0]!a} is no licence; there are {', '.join(LICENCES)}, joined by a +")
    return wanted
