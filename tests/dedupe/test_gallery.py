import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from ganpipe.dedupe import gallery
from ganpipe.dedupe.gallery import Group, Shown

PAGE = Path("review.html")
ABOUT = {"title": "Duplicates", "method": "phash", "radius": 3, "images": 12_345, "kept": 12_000, "removed": 345}
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "\"'><b>&amp;&lt;",
    "@data@ @script@ \\1",
    "]]>\u2028\u2029",
    "a\x00b\x1b[31m\r\nc",
    "gpj.\u202eexe",
    "caf\u00e9 \u732b \U0001f408",
    "undecodable \udcff",
]
NAMES = st.text() | st.sampled_from(HOSTILE)


class Page(HTMLParser):
    """Tags in their order, the text at their beginning, and the scripts by their id; that which runs is "code"."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.scripts: dict[str, str] = {}
        self.inside = False
        self.feed(self.source)
        self.data: Any = json.loads(self.scripts["data"])
        self.groups = self.data["groups"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if not self.inside:
            return
        tag, attributes = self.tags[-1]
        name = (attributes.get("id") or "code") if tag == "script" else tag
        held = self.scripts if tag == "script" else self.text
        held[name] = held.get(name, "") + data

    @property
    def thumbnails(self) -> list[np.ndarray]:
        blocks = [text for name, text in self.scripts.items() if name.startswith("thumbnails-")]
        files = [base64.b64decode(line, validate=True) for block in blocks for line in block.split("\n")]
        return [np.asarray(Image.open(io.BytesIO(file))) for file in files]


def colour(value: int, shape: tuple[int, int] = (4, 4)) -> np.ndarray:
    return np.full((*shape, 3), value, np.uint8)


def group(*distances: int, kind: Any = "duplicates", name: str = "") -> Group:
    """A kept image and one at each distance; names tell them apart."""
    return Group(
        kind,
        [Shown(f"{name}{place}", f"{place:02x}", colour(place), bits) for place, bits in enumerate([0, *distances])],
    )


def written(groups: list[Group], vetoes: Any = (), **about: Any) -> Page:
    gallery.write(PAGE, groups, {**ABOUT, **about}, vetoes)
    return Page(PAGE)


@settings(deadline=None)  # a file is flushed to the disk
@given(NAMES, NAMES, NAMES)
@example(HOSTILE[0], HOSTILE[6], HOSTILE[-1])
def test_any_name_is_text_and_changes_nothing_else(name: str, key: str, title: str) -> None:
    benign = written([group(1)])
    hostile = written(
        [Group("duplicates", [Shown(name, key, colour(0), 0), Shown(key, name, colour(1), 1)])], title=title
    )
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in benign.tags]
    assert hostile.scripts.keys() == benign.scripts.keys()
    assert hostile.scripts["code"] == benign.scripts["code"]
    ((_, _, images),) = hostile.groups
    assert [shown for shown, _, _ in images] == [gallery._printable(name), gallery._printable(key)]
    assert [told for _, told, _ in images] == [key, name]
    assert hostile.text.get("title", "") == gallery._printable(title)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.jpg", "plain name.jpg"),
        ("caf\u00e9 \u732b \U0001f408", "caf\u00e9 \u732b \U0001f408"),
        ("a\x00b\x1b[31m\r\nc", "a\\x00b\\x1b[31m\\r\\nc"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("undecodable \udcff", "undecodable \\udcff"),
    ],
)
def test_what_cannot_be_seen_in_a_name_is_escaped(name: str, shown: str) -> None:
    page = written([Group("duplicates", [Shown(name, "0a", colour(0), 0), *group(1).images[1:]])])
    assert page.groups[0][2][0][0] == shown


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), max_size=8))
def test_the_worst_group_is_first_and_its_farthest_image_after_the_kept_one(groups: list[list[int]]) -> None:
    page = written([group(*distances, name=f"{number}/") for number, distances in enumerate(groups)])
    expected = sorted(range(len(groups)), key=lambda number: (-max(groups[number]), -len(groups[number]), number))
    assert [int(images[0][0].split("/")[0]) for _, _, images in page.groups] == expected
    for number, (kind, size, images) in zip(expected, page.groups, strict=True):
        assert (kind, size) == ("duplicates", len(groups[number]) + 1)
        assert [distance for _, _, distance in images] == [0, *sorted(groups[number], reverse=True)]
        assert images[0][0] == f"{number}/0"


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["duplicates", "leak"])), max_size=9), st.integers(1, 9))
def test_the_best_groups_are_left_out_where_there_are_too_many(groups: list[tuple[int, Any]], most: int) -> None:
    every = [group(distance, kind=kind, name=f"{number}/") for number, (distance, kind) in enumerate(groups)]
    full = written(every)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "GROUPS", most)
        page = written(every)
        patch.setattr(gallery, "GROUPS", 100)
        patch.setattr(gallery, "IMAGES", 2 * most + 1)
        assert written(every).groups == page.groups
    assert page.groups == full.groups[:most]
    assert len(page.thumbnails) == 2 * len(page.groups)
    left = full.groups[most:]
    leaks = sum(kind == "leak" for kind, _, _ in left)
    told = f"Left out: {len(left)} groups with smaller distances, {leaks} of them leaks."
    assert (told in page.text["p"]) == bool(left)
    assert ("Left out" in page.text["p"]) == bool(left)


def test_the_nearest_images_of_a_large_group_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "MEMBERS", 3)
    page = written([group(1, 5, 2, 7), group(3, name="b")])
    assert [(size, [distance for _, _, distance in images]) for _, size, images in page.groups] == [
        (5, [0, 7, 5]),
        (2, [0, 3]),
    ]
    assert "Left out: 2 images of groups with more than 3." in page.text["p"]


def test_thumbnails_are_those_of_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "BLOCK", 2)
    light = [[200, 10, 90], [60, 250]]
    groups = [
        Group("leak", [Shown("", f"{value:02x}", colour(value, (48, 64)), place) for place, value in enumerate(values)])
        for values in light
    ]
    page = written(groups)
    assert page.data["shape"] == [48, 64]
    assert page.data["block"] == 2
    assert [name for name in page.scripts if name != "code"] == ["data", *(f"thumbnails-{n}" for n in range(3))]
    assert [int(key, 16) for _, _, images in page.groups for _, key, _ in images] == [200, 90, 10, 60, 250]
    for picture, value in zip(page.thumbnails, [200, 90, 10, 60, 250], strict=True):
        assert picture.shape == (48, 64, 3)
        assert abs(picture.astype(int) - value).max() <= 3


def test_counts_are_at_the_top() -> None:
    page = written([group(1), group(2, kind="leak"), group(3, kind="leak")], method="<dhash>")
    assert re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page.source) == [
        ("images", "12,345"),
        ("kept", "12,000"),
        ("removed", "345"),
        ("groups", "3"),
        ("leaks", "2"),
        ("method", "&lt;dhash&gt;"),
        ("radius (bits)", "3"),
    ]


def test_equal_arguments_give_equal_bytes() -> None:
    vetoes = [frozenset({f"{number:02x}", "ff"}) for number in range(40)]
    first = written([group(1, 2), group(3)], vetoes).source
    assert written([group(1, 2), group(3)], set(vetoes)).source == first


@pytest.mark.parametrize("change", ["name", "key", "thumbnail", "distance", "vetoes", "about"])
def test_pages_that_differ_keep_their_vetoes_apart(change: str) -> None:
    kept, removed = group(1).images
    changes: dict[str, Any] = {"name": "x", "key": "ee", "thumbnail": colour(9), "distance": 2}
    other = removed._replace(**{change: changes[change]}) if change in changes else removed
    digests = [
        dict(page.tags)["html"]["data-digest"]
        for page in (
            written([Group("leak", [kept, removed])]),
            written(
                [Group("leak", [kept, other])],
                [frozenset({"0a", "b2"})] if change == "vetoes" else [],
                radius=4 if change == "about" else 3,
            ),
        )
    ]
    assert digests[0] != digests[1]


def test_vetoes_honoured_are_in_the_data() -> None:
    page = written([group(1)], {frozenset({"b2", "0a"}), frozenset({"00", "01"})})
    assert page.data["vetoes"] == [["00", "01"], ["0a", "b2"]]


def test_policy_lets_only_the_pages_own_script_and_style_run() -> None:
    page = written([group(1)])
    (policy,) = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (source,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.source, re.DOTALL)
        assert rules.pop(rule) == f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
    assert rules == {"default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}


def test_page_names_no_other_file() -> None:
    page = written([group(1)])
    addresses = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert addresses == ["data:,"]
    assert not re.search(r"https?:|//\w|url\(|@import", page.source)
    assert not any(name.startswith("on") or name == "style" for _, attributes in page.tags for name in attributes)


def test_no_groups_make_a_page() -> None:
    page = written([])
    assert page.groups == []
    assert page.thumbnails == []
    assert "Left out" not in page.source


@pytest.mark.parametrize(
    ("thumbnails", "said"),
    [
        ([colour(0)], "group 0 has no removed image"),
        ([], "group 0 has no removed image"),
        ([colour(0), colour(0, (4, 5))], "equal in shape"),
        ([colour(0), colour(0, (97, 4))], "uint8"),
        ([colour(0), colour(0, (0, 4))], "uint8"),
        ([colour(0), colour(0).astype(float)], "uint8"),
        ([colour(0), colour(0)[..., :1]], "uint8"),
        ([colour(0), colour(0)[..., 0]], "uint8"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_an_earlier_page_stays(thumbnails: list[np.ndarray], said: str) -> None:
    before = written([group(1)]).source
    with pytest.raises(ValueError, match=said):
        written(
            [Group("duplicates", [Shown("", f"{place}", thumbnail, 0) for place, thumbnail in enumerate(thumbnails)])]
        )
    assert PAGE.read_text(encoding="utf-8") == before
    assert [path.name for path in Path().iterdir()] == [PAGE.name]


def test_only_what_is_shown_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "GROUPS", 2)
    monkeypatch.setattr(gallery, "MEMBERS", 2)
    packed: list[np.ndarray] = []

    def pack(thumbnail: np.ndarray) -> str:
        packed.append(thumbnail)
        return ""

    monkeypatch.setattr(gallery, "_packed", pack)
    written([group(5, 1), group(4), *(group(1, 2, 3) for _ in range(50))])
    assert len(packed) == 4
