"""Three public APIs, a page at a time: images of Openverse and Wikimedia Commons, names of people from DBpedia.

Limits and forms are those of their documentation. What they answer is as hostile as anything from outside.
"""

import html
import re
from datetime import date, timedelta
from typing import Any, NamedTuple

import httpx

from ganpipe.corpus import lists
from ganpipe.corpus.asker import Asker, Parameters
from ganpipe.corpus.http import FetchError, PassingError, asked_for

Image = dict[str, Any]  # its url, and what is said of it
Cursor = dict[str, Any]  # which page of a query: `page` from 1, and `more`, what Commons gave to go on with

OPENVERSE = "https://api.openverse.org/v1/images/"
COMMONS = "https://commons.wikimedia.org/w/api.php"
DBPEDIA = "https://dbpedia.org/sparql"

OPENVERSE_PAGE, OPENVERSE_PAGES = 20, 12  # 240 results of a query are all that it gives without a key
COMMONS_PAGE, COMMONS_PAGES, COMMONS_OFFSET = 50, 1000, 10_000  # offsets from there on are refused
NAMES_PAGE, NAMES_OFFSET = 100, 10_000  # DBpedia sorts no more rows than that
LONGEST_TEXT, LONGEST_NAME = 500, 100  # characters: of a title, say, that are kept; of a name that is looked for
LICENCES = ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd", "cc0", "pdm")  # as Openverse writes them
# What ganpipe.corpus.images decodes, by either API's word for it.
MIME_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp", "image/tiff", "image/bmp", "image/x-ms-bmp")
FILE_TYPES = ("jpg", "jpeg", "png", "gif", "webp", "tif", "tiff", "bmp", "avif")

# A day's births are few, so that the query costs little and its pages stay far below what DBpedia sorts.
SPARQL = """\
PREFIX dbo: <http://dbpedia.org/ontology/>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>
SELECT DISTINCT ?person ?name WHERE {{
  ?person a dbo:Person ; dbo:birthDate ?born ; rdfs:label ?name .
  FILTER (?born >= "{day}"^^xsd:date && ?born < "{after}"^^xsd:date)
  FILTER (lang(?name) = "en")
}}
ORDER BY ?person LIMIT {limit} OFFSET {offset}
"""


class Page(NamedTuple):
    """Images of a query, and where its next page is: None after the last one."""

    images: list[Image]
    following: Cursor | None


def openverse(asker: Asker, query: str, licences: tuple[str, ...], cursor: Cursor) -> Page:
    """A page of Openverse's images, of these licences or of any."""

    def read(answer: dict[str, Any], _: httpx.Response) -> Page:
        results, pages = answer.get("results"), answer.get("page_count")
        if not isinstance(results, list) or not isinstance(pages, int):
            raise FetchError("answered without a list `results` and a number `page_count`")
        images = [_openverse_image(each) for each in results[:OPENVERSE_PAGE] if isinstance(each, dict)]
        last = not results or cursor["page"] >= min(pages, OPENVERSE_PAGES)
        return Page([each for each in images if each], None if last else {"page": cursor["page"] + 1})

    parameters: Parameters = {"q": query, "page": cursor["page"], "page_size": OPENVERSE_PAGE}
    if licences:
        parameters["license"] = ",".join(licences)
    return asker.ask("Openverse", OPENVERSE, parameters, read)


def commons(asker: Asker, query: str, limit: int, cursor: Cursor) -> Page:
    """A page of at most `limit` still images that Wikimedia Commons finds, in its order."""

    def read(answer: dict[str, Any], response: httpx.Response) -> Page:
        _refuse_errors(answer, response)
        query = answer.get("query", {})  # which is not there where nothing was found
        pages = query.get("pages", []) if isinstance(query, dict) else None
        if not isinstance(pages, list):
            raise FetchError("answered without a list `pages`")
        ranked = sorted((each for each in pages if isinstance(each, dict)), key=_rank)
        images = [_commons_image(each) for each in ranked]
        return Page([each for each in images if each], _following(answer, cursor))

    parameters: Parameters = {
        **cursor.get("more", {}),
        "action": "query",
        "format": "json",
        "formatversion": 2,
        "maxlag": 5,  # seconds that its databases may be behind, or it answers that it is busy
        "generator": "search",
        "gsrsearch": f"filetype:bitmap {query}",
        "gsrnamespace": 6,
        "gsrlimit": min(limit, COMMONS_PAGE),
        "prop": "imageinfo",
        "iiprop": "url|size|mime|extmetadata",
        "iiextmetadatafilter": "Artist|LicenseShortName|LicenseUrl",
    }
    return asker.ask("Wikimedia Commons", COMMONS, parameters, read)


def born(asker: Asker, day: date, offset: int) -> tuple[list[str], int | None]:
    """Names of people born on a day, from the `offset`th on; and the next offset, None after the last ones."""

    def read(answer: dict[str, Any], response: httpx.Response) -> tuple[list[str], int | None]:
        if response.status_code == 206 or "X-SQL-State" in response.headers:
            raise PassingError("gave a part of its answer only")
        results = answer.get("results")
        rows = results.get("bindings") if isinstance(results, dict) else None
        if not isinstance(rows, list):
            raise FetchError("answered without a list `bindings`")
        names = [_name(row.get("name")) for row in rows[:NAMES_PAGE] if isinstance(row, dict)]
        following = offset + NAMES_PAGE
        last = len(rows) < NAMES_PAGE or following + NAMES_PAGE > NAMES_OFFSET
        return [name for name in names if name], None if last else following

    query = SPARQL.format(day=day, after=day + timedelta(days=1), limit=NAMES_PAGE, offset=offset)
    parameters: Parameters = {"query": query, "format": "application/sparql-results+json"}
    return asker.ask("DBpedia", DBPEDIA, parameters, read)


def quoted(name: str) -> str:
    """The name as a phrase that Commons looks for, with nothing in it that means anything else to its search."""
    return '"' + " ".join(re.sub(r'["\\*?~]', " ", name).split()) + '"'


def _refuse_errors(answer: dict[str, Any], response: httpx.Response) -> None:
    """Commons says what is wrong with status 200."""
    if "error" not in answer:
        return
    error = answer["error"] if isinstance(answer["error"], dict) else {}
    code = _text(error.get("code")) or "unknown error"
    if code in ("maxlag", "ratelimited", "readonly") or code.startswith("internal_api_error"):
        raise PassingError(f"answered {code}", asked_for(response.headers.get("Retry-After", "")))
    raise FetchError(f"answered {code}: {_text(error.get('info')) or 'it says no more'}")


def _following(answer: dict[str, Any], cursor: Cursor) -> Cursor | None:
    more = answer.get("continue")
    if more is None:
        return None
    if not isinstance(more, dict) or len(more) > 10 or not all(map(_is_token, (*more, *more.values()))):
        raise FetchError("answered with a `continue` of a wrong form")
    offset = more.get("gsroffset", 0)
    if not more or more == cursor.get("more") or not isinstance(offset, int):
        raise FetchError("answered with a `continue` that leads nowhere")
    if offset >= COMMONS_OFFSET or cursor["page"] >= COMMONS_PAGES:
        return None
    return {"page": cursor["page"] + 1, "more": more}


def _is_token(value: Any) -> bool:
    """Whether it may be sent back as it came."""
    if type(value) is str:
        return len(value) <= 1000 and value.isprintable()
    return type(value) is int and 0 <= value < 1 << 31


def _rank(page: dict[str, Any]) -> int:
    index = page.get("index")
    return index if isinstance(index, int) else 0


def _openverse_image(result: dict[str, Any]) -> Image | None:
    kind = _text(result.get("filetype"))
    if kind and kind.lower() not in FILE_TYPES:
        return None
    licence, version = _text(result.get("license")), _text(result.get("license_version"))
    return _image(
        result.get("url"),
        title=_text(result.get("title")),
        creator=_text(result.get("creator")),
        licence=f"{licence} {version}" if licence and version else licence,
        licence_url=_address(result.get("license_url")),
        source=_address(result.get("foreign_landing_url")),
        provider=_text(result.get("provider")),
        width=_length(result.get("width")),
        height=_length(result.get("height")),
    )


def _commons_image(page: dict[str, Any]) -> Image | None:
    """None also where its facts come with the next page only."""
    infos = page.get("imageinfo")
    info = infos[0] if isinstance(infos, list) and infos else None
    if not isinstance(info, dict) or info.get("mime") not in MIME_TYPES:
        return None
    metadata = info.get("extmetadata")

    def said(name: str) -> Any:
        entry = metadata.get(name) if isinstance(metadata, dict) else None
        return entry.get("value") if isinstance(entry, dict) else None

    return _image(
        info.get("url"),
        title=(_text(page.get("title")) or "").removeprefix("File:") or None,
        creator=_text(_without_tags(said("Artist"))),
        licence=_text(said("LicenseShortName")),
        licence_url=_address(said("LicenseUrl")),
        source=_address(info.get("descriptionurl")),
        provider="wikimedia",
        width=_length(info.get("width")),
        height=_length(info.get("height")),
    )


def _image(url: Any, **facts: str | int | None) -> Image | None:
    address = _address(url)
    known = {name: value for name, value in facts.items() if value is not None}
    return None if address is None else {"url": address, **known}


def _name(binding: Any) -> str | None:
    """Of a person: `John Smith (actor)` is John Smith to those who name pictures."""
    label = _text(binding.get("value")) if isinstance(binding, dict) else None
    name = re.sub(r" ?\([^()]*\)$", "", label) if label else ""
    return name if len(name) <= LONGEST_NAME and quoted(name) != '""' else None


def _text(value: Any) -> str | None:
    """A string in one line, cut; None where there is none."""
    if not isinstance(value, str):
        return None
    printable = "".join(letter if letter.isprintable() else " " for letter in value[: 4 * LONGEST_TEXT])
    return " ".join(printable.split())[:LONGEST_TEXT].rstrip() or None


def _without_tags(value: Any) -> str | None:
    return html.unescape(re.sub(r"<[^<>]*>", " ", value[: 8 * LONGEST_TEXT])) if isinstance(value, str) else None


def _address(value: Any) -> str | None:
    return lists.plain(value) if isinstance(value, str) and value.isprintable() else None


def _length(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < 1 << 31 else None
