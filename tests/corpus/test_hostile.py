"""10,000 hostile inputs: no crash, no file outside the output folder, no memory beyond 1 GiB, and only known refusals.

They go through the first stage in a process of its own. `python benchmarks/hostile.py` prints what came of them.
"""

import os
from collections import Counter
from pathlib import Path

import pytest
from corpus.hostile import inputs
from corpus.hostile_run import REFUSED, Outcome, run

COUNT = 10_000
MOST = 1 << 30  # bytes that the process may hold
# What an image's file may be refused for.
REASONS = {
    *("not an image", "truncated", "broken", "gigantic", "too narrow", "floating-point pixels"),
    *("too many scans", "too much metadata", "too much memory"),
}
IN_ARCHIVES = {
    *("not a file", "file over 400 MiB", "damaged in its archive", "encrypted", "of an unknown compression"),
    "no bytes in the table",
}


class World:
    """A folder that the process works in, with others around it that no input may reach."""

    def __init__(self, root: Path) -> None:
        self.box = root / "home" / "project"
        self.box.mkdir(parents=True)
        for place in (root, root / "home", self.box):
            for name in ("escaped.png", "here.png", "data.mdb", ".hidden"):
                (place / name).write_text("untouched")
        self.root = root
        self.before = self.outside()
        self.elsewhere = self._elsewhere()

    def outside(self) -> dict[str, bytes]:
        """All files but those in the stage's output, its input and its work folder, with their contents."""
        own = tuple(f"{self.box}/{name}/" for name in ("out", "in", ".ckpt"))
        paths = (Path(here, name) for here, _, names in os.walk(self.root) for name in names)
        return {str(path): path.read_bytes() for path in paths if not str(path).startswith(own)}

    def _elsewhere(self) -> set[str]:
        """Where names that begin with a slash, or climb to it, would lead."""
        return {name for name in ("/tmp/escaped.png", "/escaped.png", "/tmp/here.png") if Path(name).exists()}

    def unchanged(self) -> bool:
        """Whether nothing was written outside, and nothing is left in the work folder but what was scraped."""
        left = [path for path in (self.box / ".ckpt").rglob("*") if path.is_file() and "scrape" not in path.parts]
        return self.outside() == self.before and self._elsewhere() == self.elsewhere and not left


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Outcome], World]:
    world = World(tmp_path_factory.mktemp("world"))
    return list(run(inputs(COUNT), world.box)), world


Found = tuple[list[Outcome], World]


def test_each_ends_in_images_or_in_a_refusal_that_is_known(found: Found) -> None:
    outcomes, _ = found
    known = {"images", *(REFUSED + name for name in ("BrokenImage", "UserError", "BadArchive"))}
    assert [each for each in outcomes if each.came not in known] == []
    assert sum(each.inputs for each in outcomes) == COUNT


def test_reasons_are_few_and_known(found: Found) -> None:
    reasons: dict[str, Counter[str]] = {}
    for each in found[0]:
        if each.came == REFUSED + "BrokenImage" or each.came == "images":
            reasons.setdefault(each.input.kind, Counter()).update(each.rejected)
    assert set(reasons["image"]) | {"too much memory"} == REASONS  # a file that takes so much is large itself
    for kind in ("tar", "zip", "webdataset", "parquet", "lmdb"):
        assert set(reasons[kind]) <= REASONS | IN_ARCHIVES


def test_what_is_valid_comes_through(found: Found) -> None:
    asked = [each for each in found[0] if each.input.images is not None]
    assert len(asked) > 100
    assert [each for each in asked if (each.came, each.images) != ("images", each.input.images)] == []


def test_every_address_has_an_outcome(found: Found) -> None:
    answers = found[0][-1]
    assert answers.input.kind == "answers"
    assert sum(answers.rejected.values()) == 2 * answers.inputs
    assert answers.images <= answers.rejected["scraped_ok"]


def test_nothing_is_written_outside(found: Found) -> None:
    assert found[1].unchanged()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says how much a process has held")
def test_a_gibibyte_is_enough(found: Found) -> None:
    most = max(found[0], key=lambda each: each.peak)
    assert most.peak < MOST, most
