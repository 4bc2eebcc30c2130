"""Each entry is complete and consistent, and a name that is none gets the list."""

import hashlib
import re
import sys

import numpy as np
import pytest

from ganpipe import cli
from ganpipe.corpus.catalogue import CATALOGUE, DIGITS, LABELLED, NAMES, find
from ganpipe.corpus.entry import Archive, ArraySet, Bundled, Entry, Files, InMirror, NpmPackage, Numbers, Pictures
from ganpipe.errors import UserError

every_entry = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))


@every_entry
def test_entry_is_found_by_its_name_and_says_whose_it_is(entry: Entry) -> None:
    assert all((entry.title, entry.licence, entry.citation))
    assert entry.homepage.startswith("http")
    assert find(entry.name) is entry


def test_unknown_name_gets_the_list() -> None:
    with pytest.raises(
        UserError, match="'cifar11': choose one of cifar10, digits, .*, folder, archive, webdataset, parquet"
    ):
        find("cifar11")


def test_the_list_says_of_every_name_what_it_is_in_one_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ganpipe", "sets"])
    cli.main()
    lines = capsys.readouterr().out.splitlines()
    told = {line.split()[0]: line for line in lines if line and line[0] not in " I"}
    assert list(told) == [*CATALOGUE, *(name for name in NAMES if name not in CATALOGUE)]
    column = 1 + max(map(len, NAMES))
    assert all(line[column - 1] == " " and line[column] != " " for line in told.values())
    assert "or a search, such as openverse:" in told["scrape"]


@pytest.mark.parametrize("entry", [entry for entry in CATALOGUE.values() if isinstance(entry, ArraySet)])
def test_splits_follow_each_other_from_the_first_row(entry: ArraySet) -> None:
    ends = [0]
    for start, stop in entry.splits.values():
        assert start == ends[-1] < stop
        ends.append(stop)
    assert {"train", "test"} <= set(entry.splits)
    assert entry.name in LABELLED


@pytest.mark.parametrize("entry", [entry for entry in CATALOGUE.values() if not isinstance(entry, Numbers)])
def test_sources_are_verified_and_addresses_are_safe(entry: ArraySet | Pictures) -> None:
    assert entry.sources
    if entry.content is not None:
        assert len(entry.content) == 64
    for place, source in enumerate(entry.sources):
        match source:
            case Archive() | Files():
                assert source.files
                for file in source.files:
                    assert all(re.fullmatch(f"https?://[^/]+/(.+/)?{file.name}", url) for url in file.urls)
                    assert file.urls if file.md5 is None else len(file.md5) == 32
                    assert file.bytes is None or (file.bytes > 0 and file.md5 is not None)
            case InMirror():
                assert entry.content or entry.name == "imagenet"  # which each has from its makers, by name
                assert place == 0  # a mirror is asked before anybody else
            case NpmPackage():
                assert len(source.sha256) == 64
            case Bundled():
                assert source.package


def test_digits_are_the_published_ones() -> None:
    (source,) = DIGITS.sources
    assert isinstance(source, Bundled)
    images, labels = source.load()
    assert hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest() == DIGITS.content
    assert set(labels) == set(range(len(DIGITS.classes)))
    assert len(images) == len(labels) == DIGITS.splits["test"][1]
