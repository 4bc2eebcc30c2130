"""What is packed of the forms that images come in, end to end; folders are in test_download."""

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus.pictures import encode, fill, names, noise

from ganpipe.corpus import pack as module
from ganpipe.corpus.download import download
from ganpipe.corpus.pack import by_folder
from ganpipe.corpus.shards import Images
from ganpipe.corpus.sources import Entry, Part, Source
from ganpipe.errors import UserError
from support.settings import download_params

COUNT = 30
FILES = {f"{number:02}.png": encode(noise(1, 9, 7, number)[0]) for number in range(COUNT)}
FILES["11.png"] = FILES["11.png"][:60]
OUT = Path("out")


def shards(name: str, contents: dict[str, bytes]) -> str:
    with tarfile.open(name, "w") as tar:
        for each, data in contents.items():
            member = tarfile.TarInfo(each)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return name


def packed(form: str, path: str, out: Path = OUT) -> Images:
    counts = download(download_params(name=form, path=path), out)
    images = Images(out)
    assert counts == {"images": len(images), "rejected": len(images.manifest["rejected"])}
    return images


def squares(images: Images) -> np.ndarray:
    return np.concatenate(list(images.squares(np.arange(len(images)), 8, "bilinear")))


def test_a_folder_an_archive_shards_and_a_table_hold_the_same_images(capsys: pytest.CaptureFixture[str]) -> None:
    labels = [number % 3 for number in range(COUNT)]
    pq.write_table(pa.table({"image": list(FILES.values()), "label": labels}), "t.parquet")
    labelled = {**FILES, **{f"{number:02}.cls": str(label).encode() for number, label in enumerate(labels)}}
    here = packed("folder", str(fill(Path("folder"), FILES)), Path("folder-out"))
    for form, path in (
        ("archive", shards("a.tar", FILES)),
        ("webdataset", shards("w.tar", labelled)),
        ("parquet", "t.parquet"),
    ):
        images = packed(form, path)
        assert (squares(images) == squares(here)).all()
        assert [each["reason"] for each in images.manifest["rejected"]] == ["truncated"]
        assert images.classes == ([] if form == "archive" else ["0", "1", "2"])
        if images.classes:
            assert images.labels("train").tolist() == labels[:11] + labels[12:]
        assert "set aside 1 of 30 files: 1 truncated" in capsys.readouterr().out
    assert [path.name for path in Path(".ckpt").iterdir()] == []


def test_shards_are_the_same_bytes_whatever_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"image": list(FILES.values()), "label": [1] * COUNT}), "t.parquet")
    monkeypatch.setattr(module, "BATCH", 2)
    for number, cores in enumerate(({0}, {0, 1})):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores, raising=False)
        packed("parquet", "t.parquet", Path(f"out-{number}"))
    held = [{path.name: path.read_bytes() for path in Path(f"out-{number}").iterdir()} for number in range(2)]
    assert held[0] == held[1]


def test_folders_of_splits_and_classes_are_told_apart() -> None:
    def arranged(*given: str) -> tuple[object, ...]:
        found = by_folder(list(given))
        assert found.names == list(given)
        return found.about["classes"], found.about["splits"], list(found.labels)

    assert arranged("a.png", "b/c.png") == ([], {}, [None, None])
    assert arranged("b/x.png", "c/d/y.png") == (["b", "c"], {}, [0, 1])
    assert arranged("train/a.png", "train/b.png") == (["train"], {}, [0, 0])  # one split is none
    splits = {"test": [0, 1], "train": [1, 3], "val": [3, 4]}
    assert arranged("test/1", "train/1", "train/2", "val/1") == ([], splits, [None] * 4)
    assert arranged("test/b/1", "train/a/1", "train/b/2", "val/a/3") == (["a", "b"], splits, [1, 0, 1, 0])
    assert arranged("test/images/1", "train/a/1", "train/b/2", "val/images/3") == ([], splits, [None] * 4)
    assert arranged("test/b/1", "train/1") == ([], {"test": [0, 1], "train": [1, 2]}, [None, None])


def test_the_stages_take_the_images_to_train_on() -> None:
    images = packed(
        "archive", shards("a.tar", {f"set/{split}/{n}": FILES[n] for split in ("test", "train") for n in FILES})
    )
    assert len(images) == 2 * (COUNT - 1)
    assert names(Images(OUT))[images.rows("train")[0]] == "train/00.png"
    assert (images.rows("train") == np.arange(COUNT - 1, 2 * COUNT - 2)).all()


def test_what_cannot_be_packed_gets_a_sentence() -> None:
    for form, path, sentence in (
        ("archive", None, "download.name is archive: set download.path to the path of a tar or zip archive"),
        ("parquet", "none.parquet", "there is no file none.parquet"),
        (
            "archive",
            shards("x.tar", {"a.txt": b"hello"}),
            r"none of the 1 files in x\.tar is a usable image \(1 not an image\)",
        ),
        ("archive", shards("y.tar", {}), r"none of the 0 files in y\.tar is a usable image"),
        ("archive", "*.tar", "is 2 files: a tar or zip archive is one"),
    ):
        with pytest.raises(UserError, match=sentence):
            download(download_params(name=form, path=path), OUT)
        assert not OUT.exists()


def test_what_carries_many_bytes_is_checked_in_smaller_batches_or_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 1000)
    large = encode(noise(1, 40, 40)[0])  # no batch may carry it
    pictures = [*list(FILES.values())[:5], large, b"no image" * 500, large]
    pq.write_table(pa.table({"image": pictures}), "t.parquet")
    seen = []
    check = module.check

    def noted(entries: list[Entry], detector: str | None) -> list[module.Verdict]:
        seen.append([entry.data for entry in entries])
        return check(entries, detector)

    monkeypatch.setattr(module, "check", noted)
    images = packed("parquet", "t.parquet")
    assert len(images) == 7
    assert [each["reason"] for each in images.manifest["rejected"]] == ["not an image"]
    carried = [[len(data) for data in batch if isinstance(data, bytes)] for batch in seen]
    assert all(sum(sizes[:-1]) <= 1000 and max(sizes, default=0) <= 1000 for sizes in carried)
    assert sum(isinstance(data, Part) for batch in seen for data in batch) == 3
    assert not list(Path(".ckpt").rglob("*"))  # and that file is gone


def test_facts_that_are_no_text_are_kept_as_they_were_written() -> None:
    facts = {"caption": "a rose \ud800", "\udfff": "é"}
    images = packed("webdataset", shards("w.tar", {"a.png": FILES["00.png"], "a.json": json.dumps(facts).encode()}))
    assert {key: next(images.facts(np.arange(1)))[key] for key in facts} == facts


def test_what_has_been_looked_at_already_is_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    good = encode(noise(1, 8, 8)[0])
    entries = [
        Entry("0", b"known", size=(3, 2)),  # and believed
        Entry("1", good),
        Entry("2", b"no image"),
        Entry("3", b"known", size=(5, 4)),
        Entry("4", good),
        Entry("5", b"known", size=(7, 6)),
    ]
    found = list(module._checked(Source("x", len(entries), lambda: iter(entries))))
    assert [entry.name for entry, _ in found] == list("012345")
    sizes = [None if facts is None else (facts["width"], facts["height"]) for _, (facts, _) in found]
    assert sizes == [(3, 2), (8, 8), None, (5, 4), (8, 8), (7, 6)]
    found = list(module._checked(Source("x", len(entries), lambda: iter(entries)), "haar"))  # faces are in pixels
    assert [facts is None for _, (facts, _) in found] == [True, False, True, True, False, True]
