import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus.pictures import encode, fill
from PIL import Image

from ganpipe.cli import main
from ganpipe.corpus.pack import sort_out
from ganpipe.dedupe import alone, review, whitened
from ganpipe.dedupe.alone import Found, Wanted, find
from ganpipe.errors import UserError
from support.scenes import scene

COUNT = 12


def wanted(**changes: object) -> Wanted:
    return Wanted(**{"method": "phash", "bits": 64, "radius": 4, "verify": True, "keep": "first", "seed": 0, **changes})  # type: ignore[arg-type]


def photograph(seed: int) -> np.ndarray:
    return scene(seed, 60, 48)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve photographs, one of them again as a JPEG and one enlarged, and a text that is none."""
    fill(tmp_path / "pictures", {f"{number:02}.png": encode(photograph(number)) for number in range(COUNT)})
    Image.fromarray(photograph(3)).save(tmp_path / "pictures/again.jpg", quality=80)
    (tmp_path / "pictures/sub").mkdir()
    Image.fromarray(photograph(5)).resize((120, 96)).save(tmp_path / "pictures/sub/large.png")
    (tmp_path / "pictures/notes.txt").write_text("no image")
    return tmp_path / "pictures"


def going(found: Found) -> list[str]:
    alone.write_list(Path("list.txt"), found)
    return [Path(line).name for line in Path("list.txt").read_text().splitlines()]


@pytest.mark.parametrize("method", ["whitened", "phash"])
def test_copies_are_listed_and_nothing_is_deleted(pictures: Path, method: str) -> None:
    before = sorted(pictures.rglob("*"))
    radius = {"whitened": 12, "phash": 4}[method]
    found = find(pictures, wanted(method=method, radius=radius), None)
    assert sorted(going(found)) == ["again.jpg", "large.png"]
    assert [each["name"] for each in found.rejected] == ["notes.txt"]
    assert sorted(pictures.rglob("*")) == before


@pytest.mark.parametrize(("keep", "left"), [("largest", "05.png"), ("prefer:sub", "05.png"), ("first", "large.png")])
def test_what_is_kept_goes_by_the_policy(pictures: Path, keep: str, left: str) -> None:
    assert left in going(find(pictures, wanted(keep=keep), None))


def test_only_new_files_are_read_when_an_index_is_there(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Path("index")
    first = find(pictures, wanted(method="whitened", radius=12), index)
    assert first.hashed == COUNT + 2
    Image.fromarray(photograph(7)).save(pictures / "0.jpg", quality=90)  # by name it would be the first of all
    (pictures / "01.png").write_bytes(encode(photograph(8)))  # changed
    (pictures / "02.png").unlink()
    read: list[str] = []

    def watched(root: Path, names: list[str]) -> Any:
        read.extend(names)
        return sort_out(root, names)

    monkeypatch.setattr(alone, "sort_out", watched)
    second = find(pictures, wanted(method="whitened", radius=12), index)
    assert second.hashed == 2
    assert sorted(read) == ["0.jpg", "01.png", "notes.txt"]
    assert sorted(going(second)) == ["0.jpg", "01.png", "again.jpg", "large.png"]  # what is known stays
    anew = find(pictures, wanted(method="whitened", radius=12), None)
    assert len(anew.clusters.kept) == len(second.clusters.kept)


def test_a_measured_radius_is_remembered_until_there_are_twice_as_many_images(pictures: Path, tmp_path: Path) -> None:
    index = Path("index")
    find(pictures, wanted(radius=3), index)
    assert json.loads((index / "index.json").read_text())["radius"] is None  # one that is given is none for ever
    first = find(pictures, wanted(radius=None), index)
    assert json.loads((index / "index.json").read_text())["radius"] == [first.radius, COUNT + 2]
    (index / "index.json").write_text((index / "index.json").read_text().replace(f"[{first.radius}, ", "[9, "))
    assert find(pictures, wanted(radius=None), index).radius == 9
    other = fill(tmp_path / "other", {f"{seed}.png": encode(photograph(seed)) for seed in range(20, 36)})
    found = find(other, wanted(radius=None), index)
    assert json.loads((index / "index.json").read_text())["radius"] == [found.radius, COUNT + 2 + 16]


def test_the_largest_is_known_without_reading_the_old_again(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find(pictures, wanted(keep="largest"), Path("index"))
    assert sorted(going(found)) == ["05.png", "again.jpg"]

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(alone.Files, "mapped", never)
    monkeypatch.setattr(alone, "Squares", lambda images: type("None", (), {"read": lambda self, rows: None})())
    again = find(pictures, wanted(keep="largest", verify=False), Path("index"))
    assert sorted(going(again)) == ["05.png", "again.jpg"]


def test_links_are_no_copies_of_what_they_lead_to(pictures: Path, tmp_path: Path) -> None:
    (pictures / "00-link.png").symlink_to(pictures / "01.png")
    (pictures / "folder").symlink_to(pictures / "sub")
    found = find(pictures, wanted(), None)
    assert sorted(going(found)) == ["again.jpg", "large.png"]
    assert {"name": "00-link.png", "reason": "only a link"} in found.rejected


def test_an_index_is_never_written_over_anything_else(pictures: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in pictures.rglob("*") if path.is_file()}
    with pytest.raises(
        UserError, match=r"--index is .*pictures, which holds 00\.png and is no index: name a new folder"
    ):
        find(pictures, wanted(), pictures)
    with pytest.raises(UserError, match=r"--index is .*notes\.txt, which is no folder"):
        find(pictures, wanted(), pictures / "notes.txt")
    find(pictures, wanted(), tmp_path / "index")
    (tmp_path / "index/mine.txt").write_text("kept")
    with pytest.raises(UserError, match=r"holds mine\.txt"):
        find(pictures, wanted(), tmp_path / "index")
    assert (tmp_path / "index/mine.txt").read_text() == "kept"
    assert before == {path: path.read_bytes() for path in pictures.rglob("*") if path.is_file()}


def test_an_index_of_other_bits_is_refused(pictures: Path) -> None:
    find(pictures, wanted(method="whitened", radius=4, bits=64), Path("index"))
    with pytest.raises(UserError, match="the index index was made with --bits 64: say so, or name another folder"):
        find(pictures, wanted(method="whitened", radius=4, bits=128), Path("index"))


def test_a_hash_from_few_images_is_no_hash_for_many(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitened, "ENOUGH", 10)
    found = find(pictures, wanted(method="whitened", radius=12), None)
    assert len(alone.sentences(found)) == 2
    assert "made from 5 images, and it knows 14 now: remove it" in alone.sentences(found._replace(learned_from=5))[-1]


def test_every_image_is_read_once(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = alone.Files([str(path) for path in sorted(pictures.glob("*.png"))])
    asked: list[int] = []
    read = images.squares

    def watched(rows: np.ndarray, size: int, resize: str) -> Any:
        asked.extend(rows.tolist())
        return read(rows, size, resize)

    monkeypatch.setattr(images, "squares", watched)
    squares = alone.Squares(images)
    due = np.concatenate(list(read(np.arange(COUNT), 32, "antialias")))
    for rows in ([3, 1, 3], [], [1, 0, 5], list(range(COUNT))):
        assert (squares(np.array(rows, np.int64)) == due[rows]).all()
    assert sorted(asked) == list(range(COUNT))


def test_images_of_another_folder_stay_and_new_copies_of_them_are_listed(pictures: Path, tmp_path: Path) -> None:
    index = Path("index")
    find(pictures, wanted(), index)
    other = fill(tmp_path / "other", {"x.png": encode(photograph(4)), "y.png": encode(photograph(40))})
    found = find(other, wanted(), index)
    assert (found.hashed, going(found)) == (2, ["x.png"])
    assert len(json.loads((index / "index.json").read_text())["files"]) == COUNT + 4
    alone.write_page(Path("page.html"), found, other, "phash")
    page = Path("page.html").read_text()
    assert "04.png" in page
    assert '["leak"' not in page
    assert '["duplicates"' in page


def test_of_two_folders_copies_the_same_one_goes_whichever_is_asked_about(pictures: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "a-other", {"x.png": encode(photograph(4)), "y.png": encode(photograph(40))})
    for keep in ("first", "largest", "sharpest"):
        index = Path(f"index-{keep}")
        find(pictures, wanted(keep=keep), index)
        lists = {folder: going(find(folder, wanted(keep=keep), index)) for folder in (other, pictures, other)}
        assert ("x.png" in lists[other]) + ("04.png" in lists[pictures]) == 1
        assert sorted(going(find(pictures, wanted(keep=keep), index))) == sorted(lists[pictures])
        if keep == "first":
            assert lists[other] == ["x.png"]  # what was hashed first stays
            said = alone.sentences(find(other, wanted(keep=keep), index))
            assert said[1] == "1 of them are near-duplicates of images elsewhere that the index knows"


def test_what_a_person_vetoed_stays(pictures: Path) -> None:
    found = find(pictures, wanted(), None)
    alone.write_page(Path("page.html"), found, pictures, "phash")
    assert "name it in <code>--vetoes</code>" in Path("page.html").read_text()
    numbers = {Path(path).name: number for number, path in enumerate(found.images.paths)}
    keys = frozenset(
        review.key(next(found.images.squares(np.array([numbers[name]]), 32, "antialias"))[0])
        for name in ("03.png", "again.jpg")
    )
    for verify in (True, False):
        assert going(find(pictures, wanted(vetoes=frozenset([keys]), verify=verify), None)) == ["large.png"]


def test_near_codes_alone_list_more_than_copies_only_where_pixels_are_not_compared(pictures: Path) -> None:
    assert sorted(going(find(pictures, wanted(radius=28), None))) == ["again.jpg", "large.png"]
    assert len(going(find(pictures, wanted(radius=28, verify=False), None))) > 2


def test_a_radius_that_is_not_named_is_measured(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find(pictures, wanted(radius=None, bits=64, method="whitened"), None)
    assert 0 <= found.radius <= 16
    assert "again.jpg" in going(found)


def test_names_with_a_lines_end_are_left_out_of_the_list(tmp_path: Path) -> None:
    folder = fill(tmp_path / "p", {"a.png": encode(photograph(1)), "b\nc.png": encode(photograph(1))})
    found = find(folder, wanted(), None)
    assert alone.write_list(Path("list.txt"), found) == 1
    assert Path("list.txt").read_text() == ""


@pytest.mark.skipif(os.name != "posix", reason="names of bytes that are no text")
def test_names_that_are_no_text_are_written_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    for name in (b"a.png", b"b\xff.png"):
        (folder / os.fsdecode(name)).write_bytes(encode(photograph(1)))
    found = find(folder, wanted(), Path("index"))
    alone.write_list(Path("list.txt"), found)
    assert Path("list.txt").read_bytes().endswith(b"/b\xff.png\n")


def test_a_damaged_or_different_index_is_refused_by_a_sentence(pictures: Path) -> None:
    index = Path("index")
    find(pictures, wanted(), index)
    with pytest.raises(UserError, match="the index index was made with --method phash: say so, or name another folder"):
        find(pictures, wanted(method="dhash"), index)
    content = (index / "index.json").read_text()
    for broken in ("", "[]", "{}", content.replace("phash", "md5"), content.replace('"files": [', '"files": [[1], ')):
        (index / "index.json").write_text(broken)
        with pytest.raises(UserError, match="index holds no index that can be read .*: remove it, and it is made anew"):
            find(pictures, wanted(), index)
    (index / "index.json").write_text(content)
    for shape in ((10**12, 8), (10**23, 8)):
        with (index / "codes.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        with pytest.raises(UserError, match="index holds no index that can be read"):
            find(pictures, wanted(), index)


def test_the_command_writes_page_and_list_and_ends_with_a_sentence(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ganpipe(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ganpipe", "dedupe", *words])
        main()
        return capsys.readouterr().out

    options = ("--method", "phash", "--radius", "4", "--report", "r.html", "--delete-list", "l.txt")
    lines = ganpipe(str(pictures), *options).splitlines()
    assert lines == [
        "2 of 14 images are near-duplicates of one that stays (codes within 4 bits, as given); 14 were hashed now",
        "set aside, not an image: notes.txt",
        "r.html: the groups, to look at",
        "l.txt: the files that may go (xargs -d '\\n' rm -- < l.txt)",
    ]
    assert "again.jpg" in Path("r.html").read_text()
    Path("empty").mkdir()
    for words, sentence in (
        (("nowhere",), "nowhere is no folder"),
        (("empty",), f"none of the 0 files in {Path('empty').resolve()} is a usable image"),
        ((str(pictures), "--radius", "65"), "--radius is 65: it is a number from 0 to 64"),
        ((str(pictures), "--method", "md5"), "there is no method md5, choose from whitened, phash, dhash, whash"),
        ((str(pictures), "--keep", "best"), "--keep is best: choose first, largest, sharpest or prefer:<folder>"),
        ((str(pictures), "--report", "empty"), "--report is empty, a folder: name a file"),
        ((str(pictures), "--delete-list", "empty"), "--delete-list is empty, a folder: name a file"),
        (
            (str(pictures), "--method", "phash", "--bits", "64"),
            "--bits is 64, but codes of phash have 64: leave it out",
        ),
        (
            (str(pictures), "--report", "x", "--delete-list", "x"),
            "--report and --delete-list are both x: name two files",
        ),
        (
            (str(pictures), "--vetoes", "none.csv"),
            "none.csv is missing: the review page's button `Save vetoes` makes it",
        ),
        ((str(pictures), "--bits", "20"), "--bits is 20: it is a multiple of 8 up to 432"),
    ):
        with pytest.raises(SystemExit) as ended:
            ganpipe(*words)
        assert ended.value.code == f"error: {sentence}"
