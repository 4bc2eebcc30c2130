from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ganpipe.dedupe import gallery, review
from ganpipe.dedupe.clusters import Clusters
from ganpipe.dedupe.gallery import MEMBERS, Shown


def clusters(representative: list[int], distance: list[int]) -> Clusters:
    stays = np.array(representative)
    return Clusters(np.unique(stays, return_inverse=True)[1], stays, np.array(distance, np.uint16))


def shown(asked: list[int]) -> Callable[[int, int], Shown]:
    def show(number: int, distance: int) -> Shown:
        asked.append(number)
        return Shown(f"image {number}", f"{number:x}", np.zeros((2, 2, 3), np.uint8), distance)

    return show


def test_groups_come_worst_first_and_the_largest_of_equally_bad() -> None:
    found = clusters([0, 0, 2, 2, 4, 4, 4, 7, 8 + 1], [0, 3, 0, 9, 0, 2, 3, 0, 1])  # the last for the second test image
    groups = list(review.groups(found, shown([])))
    assert [[image.name for image in group.images] for group in groups] == [
        ["image 2", "image 3"],
        ["image 4", "image 6", "image 5"],
        ["image 0", "image 1"],
        ["image 9", "image 8"],
    ]
    assert [(group.kind, group.size) for group in groups] == [
        ("duplicates", 2),
        ("duplicates", 3),
        ("duplicates", 2),
        ("leak", 2),
    ]
    assert [[image.distance for image in group.images] for group in groups] == [[0, 9], [0, 3, 2], [0, 3], [0, 1]]
    assert review.counts(found) == {"duplicates": 3, "leak": 1}


def test_of_a_large_group_only_what_the_page_shows_is_read() -> None:
    count = 500
    found = clusters([0] * count, [0, *range(1, count)])
    asked: list[int] = []
    (group,) = review.groups(found, shown(asked))
    assert asked == [0, *range(count - 1, count - MEMBERS, -1)]
    assert (group.size, len(group.images)) == (count, MEMBERS)
    gallery.write(
        Path("page.html"), [group], {"title": "", "method": "", "radius": 0, "images": 0, "kept": 0, "removed": 0}
    )
    assert f"Left out: {count - MEMBERS:,} images of groups with more than {MEMBERS}" in Path("page.html").read_text()


def test_groups_beyond_the_pages_room_are_counted_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "GROUPS", 3)
    found = clusters([place - place % 2 for place in range(20)], [place % 2 * (place // 2) for place in range(20)])
    asked: list[int] = []
    about = {"title": "", "method": "", "radius": 0, "images": 0, "kept": 0, "removed": 0}
    gallery.write(Path("page.html"), review.groups(found, shown(asked)), about, (), review.counts(found))
    assert asked == [18, 19, 16, 17, 14, 15]
    page = Path("page.html").read_text()
    assert "<dt>groups</dt><dd>10</dd>" in page
    assert "Left out: 7 groups with smaller distances, 0 of them leaks" in page


def test_without_groups_there_is_none() -> None:
    nothing = clusters([0, 1], [0, 0])
    assert list(review.groups(nothing, shown([]))) == []
    assert review.counts(nothing).total() == 0
