"""What a source lists is what lies in it, whatever else does; nothing hostile is read, written or followed."""

import bz2
import gzip
import io
import json
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus.pictures import encode, fill, noise
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.corpus import sources
from ganpipe.corpus.images import BrokenImage
from ganpipe.corpus.sources import Entry, Part, Source, read
from ganpipe.errors import UserError

PICTURES = {f"{name}.png": encode(noise(1, 5, 6, seed)[0]) for seed, name in enumerate(("b/2", "a/1", "a/3"))}


def listed(source: Source) -> dict[str, bytes | str]:
    """By name the bytes, or why there are none; the same when read again."""

    def held(entry: Entry) -> bytes | str:
        try:
            return entry.reason if entry.data is None else read(entry.data)
        except BrokenImage as broken:
            return str(broken)

    found = [(entry.name, held(entry)) for entry in source.entries()]
    assert found == [(entry.name, held(entry)) for entry in source.entries()]
    assert len(found) == source.total
    return dict(found)


def tar(path: Path, contents: dict[str, bytes], mode: str = "w", *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
        for member in others:
            packed.addfile(member)
    return path


def zipped(path: Path, contents: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, data in contents.items():
            packed.writestr(name, data)
    return path


@pytest.mark.parametrize("form", ["folder", "w", "w:gz", "w:bz2", "w:xz", "stored", "deflated"])
@pytest.mark.parametrize("top", ["", "set/"])
def test_a_folder_and_any_archive_of_it_list_the_same(form: str, top: str, tmp_path: Path) -> None:
    hidden = {".DS_Store": b"x", "a/.thumb/x.png": b"x", "a/._1.png": b"x"}
    contents = {top + name: data for name, data in {**PICTURES, **hidden}.items()}
    if form == "folder":
        source = sources.folder(fill(Path("f"), contents) / top)
    elif form in ("stored", "deflated"):
        kind = zipfile.ZIP_STORED if form == "stored" else zipfile.ZIP_DEFLATED
        extra = {"__MACOSX/set/._1.png": b"x", f"{top}a/": b""}
        source = sources.archive(zipped(Path("a.zip"), {**contents, **extra}, kind), tmp_path)
    else:
        source = sources.archive(tar(Path("a.tar"), contents, form), tmp_path)
    assert listed(source) == PICTURES
    assert list(listed(source)) == sorted(PICTURES)


def test_what_is_no_file_in_an_archive_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    def member(name: str, kind: bytes, to: str = "") -> tarfile.TarInfo:
        made = tarfile.TarInfo(name)
        made.type, made.linkname = kind, to
        return made

    odd = [
        member("b/link.png", tarfile.SYMTYPE, "/etc/passwd"),
        member("b/hard.png", tarfile.LNKTYPE, "a/1.png"),
        member("b/null.png", tarfile.CHRTYPE),
        member("b/pipe.png", tarfile.FIFOTYPE),
        member("c", tarfile.DIRTYPE),
    ]
    contents = {**PICTURES, "../../outside.png": b"x", "/etc/shadow.png": b"y", "..\\windows.png": b"z"}
    path = tar(Path("a.tar"), contents, "w", *odd)
    before = set(Path().rglob("*")) | set(tmp_path.parent.iterdir())
    source = sources.archive(path, tmp_path)
    assert listed(source) == {
        **PICTURES,
        **dict.fromkeys(("b/link.png", "b/hard.png", "b/null.png", "b/pipe.png"), "not a file"),
        "outside.png": b"x",
        "etc/shadow.png": b"y",
        "windows.png": b"z",
    }
    assert set(Path().rglob("*")) | set(tmp_path.parent.iterdir()) == before


def test_links_and_damaged_and_encrypted_members_of_a_zip_archive_are_named(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("b/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile("a.zip", "w", zipfile.ZIP_STORED) as packed:
        packed.writestr(link, "/etc/passwd")
        for name, data in PICTURES.items():
            packed.writestr(name, data)
    damaged = bytearray(Path("a.zip").read_bytes())
    at = damaged.index(PICTURES["a/1.png"])
    damaged[at + 20] ^= 255
    Path("a.zip").write_bytes(damaged)
    assert listed(sources.archive(Path("a.zip"), tmp_path)) == {
        **PICTURES,
        "a/1.png": "damaged in its archive",
        "b/link.png": "not a file",
    }
    local, central = damaged.index(b"PK\x03\x04"), damaged.index(b"PK\x01\x02")
    second = damaged.index(b"PK\x03\x04", local + 4), damaged.index(b"PK\x01\x02", central + 4)
    damaged[second[0] + 6] |= 1
    damaged[second[1] + 8] |= 1
    Path("a.zip").write_bytes(damaged)
    assert listed(sources.archive(Path("a.zip"), tmp_path))["b/2.png"] == "encrypted"


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_that_are_damaged_or_of_an_unknown_form_are_named(method: int, tmp_path: Path) -> None:
    zipped(Path("a.zip"), {"a/1.png": bytes(range(256)) * 40, "a/2.png": b"whole"}, method)
    packed = bytearray(Path("a.zip").read_bytes())
    start = packed.index(b"a/1.png") + len("a/1.png")
    packed[start + 12 : start + 40] = bytes(28)
    Path("a.zip").write_bytes(packed)
    assert listed(sources.archive(Path("a.zip"), tmp_path)) == {"1.png": "damaged in its archive", "2.png": b"whole"}
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # the method of the first member
        packed[packed.index(mark) + place] = 99
    Path("a.zip").write_bytes(packed)
    assert listed(sources.archive(Path("a.zip"), tmp_path))["1.png"] == "of an unknown compression"


@pytest.mark.parametrize("form", ["gz", "bz2", "xz"])
def test_streams_one_behind_the_other_are_one_archive(form: str, tmp_path: Path) -> None:
    ways: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    pack = ways[form]
    whole = tar(Path("a.tar"), PICTURES).read_bytes()
    zeros = bytes(0 if form == "bz2" else 4096)  # as tapes have them
    Path("b.tar").write_bytes(pack(whole[:700]) + (zeros if form == "xz" else b"") + pack(whole[700:]) + zeros)
    assert listed(sources.archive(Path("b.tar"), tmp_path)) == PICTURES


def test_an_archive_that_asks_for_gigabytes_to_be_unpacked_is_refused(tmp_path: Path) -> None:
    asking = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    packed = bytearray(lzma.compress(tar(Path("a.tar"), PICTURES).read_bytes(), filters=asking))
    packed[packed.index(b"\x21\x01") + 2] = 40  # 4 GiB
    packed[20:24] = zlib.crc32(packed[12:20]).to_bytes(4, "little")
    Path("b.tar").write_bytes(packed)
    with pytest.raises(UserError, match=r"b\.tar is no readable tar or zip archive \(Memory usage limit exceeded\)"):
        sources.archive(Path("b.tar"), tmp_path)


@pytest.mark.parametrize("form", ["zip", "w:gz", "w:bz2", "w:xz"])
def test_a_bomb_is_refused_before_it_fills_the_disk(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ALWAYS_ALLOWED", 1 << 20)
    contents = {"a.png": bytes(64 << 20)}
    path = zipped(Path("a.zip"), contents) if form == "zip" else tar(Path("a.tar"), contents, form)
    with pytest.raises(UserError, match=r"a\.(zip|tar) unpacks to more than 100 times its size"):
        sources.archive(path, tmp_path)
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) < 16 << 20


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ALWAYS_HELD", 2)
    monkeypatch.setattr(sources, "LEAST_ENTRY", 10_000)
    for path in (zipped(Path("a.zip"), PICTURES), tar(Path("a.tar"), PICTURES)):
        with pytest.raises(UserError, match=r"a\.\w+ holds more entries than images would fit into [\d,]+ bytes"):
            sources.archive(path, tmp_path)


def test_large_files_in_archives_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 10)
    for path in (zipped(Path("a.zip"), PICTURES), tar(Path("a.tar"), PICTURES)):
        assert set(listed(sources.archive(path, tmp_path)).values()) == {"file over 400 MiB"}


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\x00", b"PK\x03\x04"]))
def test_no_archive_gets_a_sentence(tail: bytes, head: bytes) -> None:
    path, scratch = Path("no.archive"), Path("scratch")
    scratch.mkdir(exist_ok=True)
    path.write_bytes(head + tail)
    try:
        assert listed(sources.archive(path, scratch)) == {}  # such as two blocks of zeros
    except UserError as error:
        assert "no readable tar or zip archive" in str(error)


def test_archives_in_an_archive_are_folders_of_their_names(tmp_path: Path) -> None:
    """As ImageNet's training images are published."""
    inner = {
        name: tar(Path(f"{name}.tar"), {f"{name}_1.png": data, "../x.png": b"?"})
        for name, data in PICTURES_BY_CLASS.items()
    }
    outer = tar(Path("outer.tar"), {f"{name}.tar": path.read_bytes() for name, path in inner.items()})
    expected = {f"{name}/{name}_1.png": data for name, data in PICTURES_BY_CLASS.items()}
    expected |= {f"{name}/x.png": b"?" for name in PICTURES_BY_CLASS}
    source = sources.archive(outer, tmp_path)
    assert listed(source) == expected
    assert all(isinstance(entry.data, Part) and entry.data.path == outer.absolute() for entry in source.entries())
    broken = tar(Path("broken.tar"), {"a.tar": b"no archive" * 100})
    with pytest.raises(UserError, match=r"broken\.tar is no readable tar or zip archive"):
        sources.archive(broken, tmp_path)


PICTURES_BY_CLASS = {"n01": PICTURES["a/1.png"], "n02": PICTURES["b/2.png"]}


def test_a_jpeg_2000_of_a_shard_is_counted_though_nothing_decodes_it() -> None:
    source = sources.webdataset([tar(Path("s.tar"), {"a.jpg": b"1", "b.jp2": b"2"})])
    assert (source.total, listed(source)) == (2, {"s/a.jpg": b"1", "s/b.jp2": b"2"})


def test_an_lmdb_is_read_by_key(tmp_path: Path) -> None:
    import lmdb

    with lmdb.open("bedrooms", map_size=1 << 20) as held, held.begin(write=True) as transaction:
        for key, value in ((b"b", b"2"), (b"a", b"1"), (b"\xff", b"3")):
            transaction.put(key, value)
    for path in ("bedrooms", "bedrooms/data.mdb"):
        source = sources.lmdb(Path(path), Path())
        assert listed(source) == {"a": b"1", "b": b"2", "\\xff": b"3"}
        assert source.title == "bedrooms"
    with zipfile.ZipFile("bedrooms.zip", "w", zipfile.ZIP_DEFLATED) as packed:  # as LSUN's are published
        packed.write("bedrooms/data.mdb", "bedrooms_lmdb/data.mdb")
    assert listed(sources.lmdb(Path("bedrooms.zip"), tmp_path)) == {"a": b"1", "b": b"2", "\\xff": b"3"}
    with zipfile.ZipFile("other.zip", "w") as packed:
        packed.writestr("a.png", b"x")
    with pytest.raises(UserError, match=r"other\.zip holds no data\.mdb"):
        sources.lmdb(Path("other.zip"), tmp_path)
    with pytest.raises(UserError, match="nowhere is no readable LMDB"):
        sources.lmdb(Path("nowhere"), Path())
    Path("no").mkdir()
    Path("no/data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match="no is no readable LMDB"):
        sources.lmdb(Path("no"), Path())


SHARD = {
    "x/one.jpg": b"1",
    "x/one.cls": b"2",
    "x/one.json": json.dumps({"caption": "a rose", "size": [1, 2], "score": 0.5}).encode(),
    "two.seg.png": b"no image: its extension is seg.png",
    "three.PNG": b"3",
    "three.cls": b"0",
    "three.json": b"{broken",
    "readme.txt": b"hello",
}


def test_shards_are_read_by_key() -> None:
    tar(Path("s-0.tar"), SHARD)
    tar(Path("s-1.tar"), {"one.webp": b"4"})
    source = sources.webdataset([Path("s-0.tar"), Path("s-1.tar")])
    found = list(source.entries())
    assert [(e.name, read(e.data or b""), e.label, dict(e.facts)) for e in found] == [
        ("s-0/x/one.jpg", b"1", 2, {"caption": "a rose", "score": 0.5}),
        ("s-0/three.PNG", b"3", 0, {}),
        ("s-1/one.webp", b"4", None, {}),
    ]
    assert source.classes == ["0", "1", "2"]
    assert all(isinstance(e.data, Part) for e in found)  # read where they lie, by whoever decodes them


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        ({"readme.txt": b""}, "holds no images"),
        ({"a.jpg": b"", "a.cls": b"dog"}, "no readable WebDataset shard"),
        ({"a.jpg": b"", "a.cls": b"-3"}, "not class numbers: they go from -3 to -3"),
    ],
)
def test_other_shards_get_a_sentence(contents: dict[str, bytes], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        sources.webdataset([tar(Path("s.tar"), contents)])
    Path("s.tar").write_bytes(b"\x1f\x8b not a tar")
    with pytest.raises(UserError, match="name plain .tar files"):
        sources.webdataset([Path("s.tar")])


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here that nobody may read")
def test_a_shard_that_the_system_does_not_read_gets_a_sentence() -> None:
    with pytest.raises(UserError, match="mem is no readable WebDataset shard"):
        sources.webdataset([Path("/proc/self/mem")])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here to stand for a full disk")
def test_a_full_disk_is_no_fault_of_the_archive(tmp_path: Path) -> None:
    with tarfile.open("large.tar.gz", "w:gz") as packed:
        member = tarfile.TarInfo("a.png")
        member.size = 1 << 20
        packed.addfile(member, io.BytesIO(bytes(member.size)))
    (tmp_path / "large.tar.gz.tar").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        sources.archive(Path("large.tar.gz"), tmp_path)


def table(path: str, columns: dict[str, Any], features: dict[str, Any] | None = None) -> Path:
    made = pa.table(columns)
    if features is not None:
        about = json.dumps({"info": {"features": features}}).encode()
        made = made.replace_schema_metadata({b"huggingface": about})
    pq.write_table(made, path, row_group_size=2)
    return Path(path)


def test_tables_of_hugging_face_are_read() -> None:
    images = [{"bytes": bytes([n]), "path": f"{n}.jpg"} for n in range(3)]
    columns = {"image": images, "label": [1, 0, 1], "age": [7, None, 9], "box": [[1, 2]] * 3}
    names = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    source = sources.parquet([table("a.parquet", columns, names), table("b.parquet", columns, names)])
    found = list(source.entries())
    assert [read(e.data or b"") for e in found] == [bytes([n]) for n in range(3)] * 2
    assert [e.label for e in found] == [1, 0, 1] * 2
    assert found[0].facts == {"age": 7, "path": "0.jpg"}
    assert found[1].facts == {"age": None, "path": "1.jpg"}
    assert len({e.name for e in found}) == 6
    assert (source.total, source.classes) == (6, ["cat", "dog"])


def test_tables_of_bytes_without_labels_are_read_too() -> None:
    source = sources.parquet([table("a.parquet", {"id": [1, 2], "jpg": [b"1", None]})])
    assert [(e.data, e.reason, e.label) for e in source.entries()] == [
        (b"1", "", None),
        (None, "no bytes in the table", None),
    ]
    assert source.classes == []


def test_labels_beyond_the_names_are_numbers() -> None:
    columns = {"image": [b"1", b"2"], "label": [0, 2]}
    source = sources.parquet([table("a.parquet", columns, {"label": {"names": ["cat", "dog"]}})])
    assert source.classes == ["0", "1", "2"]


def test_other_tables_get_a_sentence() -> None:
    with pytest.raises(UserError, match=r"has no column of images, bytes or a struct with bytes in it: a, b"):
        sources.parquet([table("a.parquet", {"a": [1], "b": ["x"]})])
    with pytest.raises(UserError, match=r"not class numbers: they go from -1 to 5"):
        sources.parquet([table("a.parquet", {"image": [b"1", b"2"], "label": [5, -1]})])
    Path("b.parquet").write_bytes(b"PAR1 this is none PAR1")
    with pytest.raises(UserError, match=r"b\.parquet is no readable Parquet table"):
        sources.parquet([Path("b.parquet")])


def test_rows_of_a_table_are_not_held_together() -> None:
    count = 3000
    source = sources.parquet([table("a.parquet", {"image": [np.random.bytes(1000) for _ in range(count)]})])
    import tracemalloc

    tracemalloc.start()
    assert sum(len(e.data or b"") for e in source.entries()) == 1000 * count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20
