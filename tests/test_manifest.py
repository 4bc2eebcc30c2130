"""A manifest is read, or a sentence says why not."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganpipe.errors import UserError
from ganpipe.files import sha256, write_json
from ganpipe.manifest import MANIFEST, SCHEMA, read_manifest, verified

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_manifest_is_read() -> None:
    write_json(Path(MANIFEST), {"schema": SCHEMA, "count": 3})
    assert read_manifest(Path()) == {"schema": SCHEMA, "count": 3}


def test_no_folder_and_no_manifest_are_the_same_to_the_user() -> None:
    Path("folder").mkdir()
    for name in ("folder", "nowhere"):
        with pytest.raises(UserError, match=rf"{name} has no manifest\.json: run the stage that makes it"):
            read_manifest(Path(name))


def test_another_schema_is_named() -> None:
    write_json(Path(MANIFEST), {"schema": SCHEMA + 1})
    with pytest.raises(UserError, match=f"is of schema {SCHEMA + 1}, this reads {SCHEMA}"):
        read_manifest(Path())


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=30) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_other_content_is_a_user_error(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_bytes(content)
        with pytest.raises(UserError, match="make it anew"):
            read_manifest(Path(folder))


@pytest.mark.parametrize(
    ("folder", "stage"),
    [
        ("data/raw/mine", "download"),
        ("data/evaluation/digits", "evaluation_sets"),
        ("data/deduped", "dedupe"),
        ("data/processed", "preprocess"),
    ],
)
def test_a_damaged_manifest_says_which_stage_makes_it_also_where_dvc_trusts_its_date(folder: str, stage: str) -> None:
    Path(folder).mkdir(parents=True)
    Path(folder, MANIFEST).write_bytes(b"\xa0")
    with pytest.raises(UserError, match=f"`dvc repro --force --single-item {stage}` makes it anew"):
        read_manifest(Path(folder))


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "manifest"])
def test_a_file_that_a_disk_has_damaged_is_named_with_what_makes_it_anew(damage: str) -> None:
    folder = Path("data/processed")
    folder.mkdir(parents=True)
    for name in ("a.npy", "labels.npy"):
        Path(folder, name).write_bytes(b"0123456789")
    held = [{"file": name, "rows": 1, "sha256": sha256(folder / name)} for name in ("a.npy", "labels.npy")]
    write_json(folder / MANIFEST, {"schema": SCHEMA, "shards": held[:1], "others": held[1:]})
    verified(folder)
    if damage == "flipped":
        Path(folder, "labels.npy").write_bytes(b"0123456788")
    elif damage == "cut":
        Path(folder, "a.npy").write_bytes(b"")
    elif damage == "gone":
        Path(folder, "a.npy").unlink()
    else:
        write_json(folder / MANIFEST, {"schema": SCHEMA, "shards": [{"fale": "a.npy"}]})
    with pytest.raises(UserError, match="is damaged.*`dvc repro --force --single-item preprocess` makes it anew"):
        verified(folder)


def test_a_manifest_that_names_no_files_is_verified() -> None:
    write_json(Path(MANIFEST), {"schema": SCHEMA})
    verified(Path())
