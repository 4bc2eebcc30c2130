"""On fsspec's file system in memory, which stands for any that it opens."""

import os
from pathlib import Path

import fsspec
import pytest

from ganpipe.corpus import stores
from ganpipe.corpus.http import FetchError


@pytest.fixture
def bucket() -> str:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in ("set/a.png", "set/deep/b.png", "other/c.png"):
        memory.pipe(f"/bucket/{name}", name.encode())
    return "memory://bucket"


def test_files_are_found_by_name_and_by_pattern(bucket: str) -> None:
    assert [each.name for each in stores.find(f"{bucket}/set/a.png")] == ["a.png"]
    assert [each.name for each in stores.find(f"{bucket}/*/*.png")] == ["c.png", "a.png"]
    for nowhere in (f"{bucket}/set", f"{bucket}/x*", "gopher://x/y", "/nowhere"):
        with pytest.raises(FetchError):
            stores.find(nowhere)


def test_all_below_a_folder_are_found_by_their_way_there(bucket: str) -> None:
    found = stores.below(f"{bucket}/set/")
    assert {path: stored.size for path, stored in found.items()} == {"a.png": 9, "deep/b.png": 14}


def test_a_copy_is_made_once_and_again_where_it_is_not_whole(bucket: str) -> None:
    (stored,) = stores.find(f"{bucket}/set/a.png")
    path = stores.copied(stored, Path("to"))
    assert path.read_bytes() == b"set/a.png"
    os.utime(path, ns=(0, 0))
    assert stores.copied(stored, Path("to")).stat().st_mtime_ns == 0
    path.write_bytes(b"set/a")
    assert stores.copied(stored, Path("to")).read_bytes() == b"set/a.png"


def test_what_a_store_fails_with_is_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (stored,) = stores.find(f"{bucket}/set/a.png")

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the token has run out\nat line 3")

    monkeypatch.setattr(type(stored.system), "get_file", fail)
    with pytest.raises(FetchError, match="^the token has run out$"):
        stores.copy(stored, Path("to.png"))
    assert not Path("to.png").exists()
