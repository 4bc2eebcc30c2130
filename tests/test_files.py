"""Files are whole or not there, whatever happens while they are written."""

import errno
import hashlib
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ganpipe.errors import UserError
from ganpipe.files import (
    atomic,
    atomic_folder,
    digest,
    project_root,
    refuse_unwritable,
    save_array,
    scratch,
    scratch_array,
    sha256,
    work_folder,
    write_json,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Interruption(Exception):
    pass


def there() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def test_file_appears_whole() -> None:
    with atomic(Path("new/folder/file")) as draft:
        draft.write_text("half")
        assert not Path("new/folder/file").exists()
        draft.write_text("whole")
    assert Path("new/folder/file").read_text() == "whole"
    assert there() == ["new", "new/folder", "new/folder/file"]


@pytest.mark.parametrize("before", ["old", None])
def test_interrupted_file_stays_as_it_was(before: str | None) -> None:
    path = Path("file")
    if before is not None:
        path.write_text(before)
    with pytest.raises(Interruption), atomic(path) as draft:
        draft.write_text("half")
        raise Interruption
    assert there() == ([] if before is None else ["file"])
    assert before is None or path.read_text() == before


def test_folder_takes_the_place_of_the_old_one() -> None:
    path = Path("some/folder")
    path.mkdir(parents=True)
    (path / "old").write_text("old")
    (path.parent / ".folder.part").mkdir()
    (path.parent / ".folder.part/left").write_text("by a run that was killed")
    with atomic_folder(path) as draft:
        assert list(draft.iterdir()) == []
        (draft / "new").write_text("new")
        assert (path / "old").exists()
    assert there() == ["some", "some/folder", "some/folder/new"]


def test_folder_takes_the_place_of_a_file_and_of_a_link() -> None:
    Path("held").mkdir()
    Path("held/old").write_text("old")
    Path("link").symlink_to("held")
    Path("file").write_text("old")
    for name in ("link", "file"):
        with atomic_folder(Path(name)) as draft:
            (draft / "new").write_text("new")
        assert not Path(name).is_symlink()
    assert there() == ["file", "file/new", "held", "held/old", "link", "link/new"]


def test_interrupted_folder_stays_as_it_was() -> None:
    with atomic_folder(Path("folder")) as draft:
        (draft / "old").write_text("old")
    with pytest.raises(Interruption), atomic_folder(Path("folder")) as draft:
        (draft / "new").write_text("new")
        raise Interruption
    assert there() == ["folder", "folder/old"]


def test_a_place_where_no_file_can_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    refuse_unwritable("--out", tmp_path / "new/folder/file.json")
    assert not list((tmp_path / "new/folder").iterdir())
    for path, why in (("file/below", "no file can be written"), ("folder", "a folder: name a file")):
        with pytest.raises(UserError, match=f"--out is {tmp_path / path}, .*{why}"):
            refuse_unwritable("--out", tmp_path / path)


@settings(deadline=None, max_examples=50)
@given(JSON)
def test_json_comes_back(value: Any) -> None:
    with TemporaryDirectory() as folder:
        write_json(Path(folder) / "value.json", value)
        assert json.loads((Path(folder) / "value.json").read_text(encoding="utf-8")) == value


def test_json_that_cannot_be_written_leaves_the_old_file() -> None:
    write_json(Path("value.json"), {"a": 1})
    with pytest.raises(TypeError):
        write_json(Path("value.json"), {"a": object()})
    assert (there(), json.loads(Path("value.json").read_text())) == (["value.json"], {"a": 1})


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), JSON, max_size=5), st.randoms())
def test_digest_heeds_values_and_not_the_order_of_keys(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert digest({key: value[key] for key in keys}) == digest(value)
    assert digest({**value, "more": 1}) != digest({**value, "more": 2})


def test_checksum_is_the_usual_one() -> None:
    Path("file").write_bytes(b"abc" * 100_000)
    assert sha256(Path("file")) == hashlib.sha256(b"abc" * 100_000).hexdigest()


@settings(deadline=None)
@given(array=arrays(st.sampled_from(["u1", "<i8", "<f4", "<U3", "<u2,<f8"]), array_shapes(min_dims=0, min_side=0)))
def test_an_array_is_written_as_numpy_writes_it(array: np.ndarray) -> None:
    with TemporaryDirectory() as name:
        save_array(Path(name) / "ours.npy", array)
        np.save(Path(name) / "numpy.npy", array)
        assert (Path(name) / "ours.npy").read_bytes() == (Path(name) / "numpy.npy").read_bytes()


def test_an_array_that_is_not_contiguous_is_written_whole() -> None:
    array = np.arange(24).reshape(4, 6)[::2, ::3]
    save_array(Path("some.npy"), array)
    assert np.array_equal(np.load("some.npy"), array)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here to stand for a full disk")
def test_a_full_disk_is_told_by_its_number() -> None:
    with pytest.raises(OSError) as caught:
        save_array(Path("/dev/full"), np.zeros(1 << 20, np.uint8))
    assert caught.value.errno == errno.ENOSPC


def test_the_projects_root_is_dvcs_also_for_temporary_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dvc").mkdir()  # somebody else's, around it
    root = tmp_path / "project"
    copy = root / ".dvc" / "tmp" / "exps" / "standalone" / "tmpxyz"
    (copy / ".dvc").mkdir(parents=True)
    study = root / "studies" / "roses"
    copied = study / ".dvc" / "tmp" / "exps" / "queue" / "tmpxyz" / "studies" / "roses"
    (copied / ".dvc").mkdir(parents=True)
    for start in (root, copy, study, copied):
        assert project_root(start) == root
        monkeypatch.chdir(start)
        assert work_folder().resolve() == root / ".ckpt"


def test_scratch_is_gone_at_the_end_also_of_a_failure() -> None:
    with pytest.raises(Interruption), scratch() as folder:
        (folder / "some").write_text("work")
        assert folder.parent.resolve() == work_folder().resolve()
        raise Interruption
    assert there() == [".ckpt"]


@pytest.mark.parametrize("shape", [(3, 5), (0, 7), ()])
def test_a_scratch_array_takes_room_on_disk_under_no_name(shape: tuple[int, ...]) -> None:
    array = scratch_array(shape, np.float16)
    assert array.shape == shape
    assert array.dtype == np.float16
    assert not array.any()
    array[...] = 3
    assert (array == 3).all()
    assert there() == [".ckpt"]


def test_a_full_disk_is_noticed_before_a_scratch_array_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        scratch_array((2,), np.uint8)
    assert there() == [".ckpt"]
