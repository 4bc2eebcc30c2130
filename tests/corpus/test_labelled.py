"""A folder of folders becomes a labelled set in two parts; what cannot be one gets a sentence."""

from pathlib import Path

import numpy as np
import pytest
from corpus.pictures import encode, fill, names, noise

from ganpipe.corpus.download import download
from ganpipe.corpus.images import decode, square
from ganpipe.corpus.labelled import evaluation_set
from ganpipe.corpus.params import EvaluationSetsParams
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from support.settings import download_params

OUT = Path("data/evaluation/folder")


def pictures(**counts: int) -> dict[str, bytes]:
    """So many images in each folder, all different and of different sizes."""
    return {
        f"{folder}/{number:02}.png": encode(noise(1, 6 + number, 9, seed=number + 100 * place)[0])
        for place, (folder, count) in enumerate(counts.items())
        for number in range(count)
    }


def pack(contents: dict[str, bytes], name: str = "zoo") -> Images:
    evaluation_set("folder", EvaluationSetsParams(datasets=["folder"], path=str(fill(Path(name), contents))), OUT)
    return Images(OUT)


def split_of(images: Images, split: str) -> dict[str, list[str]]:
    """The names in it, by class."""
    found: dict[str, list[str]] = {}
    for row, label in zip(images.rows(split), images.labels(split), strict=True):
        found.setdefault(images.classes[label], []).append(names(images)[row])
    return found


def refuse(contents: dict[str, bytes], match: str) -> None:
    with pytest.raises(UserError, match=match):
        pack(contents)
    assert not OUT.exists()


def test_a_set_of_the_catalogue_needs_no_folder() -> None:
    evaluation_set("digits", EvaluationSetsParams(datasets=["folder"], path=None), Path("data/evaluation/digits"))
    assert len(Images(Path("data/evaluation/digits")).labels("test")) == 360
    for path in (None, ""):
        with pytest.raises(UserError, match="evaluate.datasets names folder: set evaluate.path"):
            evaluation_set("folder", EvaluationSetsParams(datasets=["folder"], path=path), OUT)
    with pytest.raises(UserError, match="no labelled set 'digit': choose from .*digits.*folder"):
        evaluation_set("digit", EvaluationSetsParams(datasets=["folder"], path=None), OUT)
    with pytest.raises(UserError, match="no labelled set 'roses'"):
        evaluation_set("roses", EvaluationSetsParams(datasets=["folder"], path=None), OUT)


def test_the_folders_own_split_is_kept() -> None:
    train, test = pictures(dog=3, cat=4, ant=2), pictures(cat=2, dog=1)
    contents = {
        f"{split}/{name}": data for split, part in (("train", train), ("test", test)) for name, data in part.items()
    }
    contents["train/dog/deep/er.png"] = encode(noise(1, 7, 7)[0])
    images = pack(contents)
    assert images.classes == ["ant", "cat", "dog"]
    assert split_of(images, "train") == {
        kind: sorted(name for name in contents if name.startswith(f"train/{kind}/")) for kind in images.classes
    }
    assert split_of(images, "test") == {
        kind: sorted(name for name in contents if name.startswith(f"test/{kind}/")) for kind in ("cat", "dog")
    }
    assert images.manifest["split"] == "the folder's own"
    assert (images.manifest["name"], images.manifest["title"], images.manifest["rejected"]) == ("folder", "zoo", [])


def test_images_of_any_size_are_squared_in_the_order_of_the_labels() -> None:
    contents = pictures(cat=9, dog=11)
    images = pack(contents)
    for split in ("train", "test"):
        rows = images.rows(split)
        squares = np.concatenate(list(images.squares(rows, 8, "bilinear")))
        for row, label, pixels in zip(rows, images.labels(split), squares, strict=True):
            name = names(images)[row]
            assert name.startswith(images.classes[label])
            assert (pixels == square(decode(contents[name]), 8, "bilinear")).all()


def test_a_fifth_of_each_class_is_drawn_where_the_folder_has_no_split() -> None:
    contents = pictures(ant=3, bee=5, cat=20, dog=53)
    images = pack(contents)
    assert {kind: len(held) for kind, held in split_of(images, "test").items()} == {
        "ant": 1,
        "bee": 1,
        "cat": 4,
        "dog": 11,
    }
    train, test = split_of(images, "train"), split_of(images, "test")
    assert sorted(name for part in (train, test) for held in part.values() for name in held) == sorted(contents)
    assert all(held == sorted(held) for part in (train, test) for held in part.values())
    assert test["cat"] != sorted(train["cat"] + test["cat"])[:4]  # drawn, not the first ones
    assert images.manifest["split"] == {"drawn": 0.2, "of": "each class", "seed": 0}
    digest = images.digest
    assert pack(contents).digest == digest
    assert (
        split_of(pack({f"elk/{place}.png": contents["ant/00.png"] for place in range(3)}), "test")["dog"] == test["dog"]
    )


def test_broken_images_are_set_aside_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    contents = pictures(cat=3, dog=4)
    images = pack(
        {**contents, "cat/half.png": contents["cat/00.png"][:60], "dog/notes.txt": b"Dear all", "README": b"hello"}
    )
    assert sorted(names(images)) == sorted(contents)
    assert sorted(entry["name"] for entry in images.manifest["rejected"]) == ["README", "cat/half.png", "dog/notes.txt"]
    assert "set aside 3 of 10 files" in capsys.readouterr().out


PARTS = {f"{split}/{name}": data for split in ("train", "test") for name, data in pictures(cat=2, dog=2).items()}
ONE = encode(noise(1, 9, 9)[0])


@pytest.mark.parametrize(
    ("contents", "match"),
    [
        (pictures(cat=9), "zoo holds images of one class only, cat: nothing can be told apart"),
        ({name: ONE for name in PARTS if name.startswith("train")}, "images of one class only, train"),
        ({name: ONE for name in PARTS if "cat" in name}, "images of one class only, cat"),
        ({**PARTS, "test/elk/1.png": ONE}, "zoo/test holds the class elk, which zoo/train lacks"),
        ({**PARTS, "train/elk/1.png": ONE}, "the class elk in zoo has 1 usable, but needs two to train on$"),
        (pictures(cat=3, dog=2), "the class dog in zoo has 2 usable, but needs two to train on and one to test on"),
        (
            {**pictures(cat=3), "dog/1.png": ONE, "dog/2.png": ONE, "dog/3.png": b"x"},
            "the class dog in zoo has 2 usable",
        ),
        (
            {**pictures(cat=3, dog=3), "a.png": ONE},
            "zoo/a.png belongs to no class: in zoo each class has a folder of its",
        ),
        ({**PARTS, "train/a.png": ONE}, "zoo/train/a.png belongs to no class: in train and test each"),
        ({**PARTS, "val/cat/a.png": ONE}, "zoo/val/cat/a.png belongs to no class"),
        ({"cat/1.png": b"x"}, "none of the 1 files in zoo is a usable image"),
        ({".hidden/1.png": ONE}, "the folder zoo holds no files: put images in it, or set evaluate.path to another"),
    ],
)
def test_what_is_no_labelled_folder_gets_a_sentence(contents: dict[str, bytes], match: str) -> None:
    refuse(contents, match)


@pytest.mark.parametrize(("path", "match"), [("nowhere", "is no folder"), (".", "overlaps the stage's own output")])
def test_the_setting_is_named(path: str, match: str) -> None:
    with pytest.raises(UserError, match=f"evaluate.path is {path}, which {match}"):
        evaluation_set("folder", EvaluationSetsParams(datasets=["folder"], path=path), OUT)


def test_the_same_folder_may_be_the_corpus() -> None:
    contents = pictures(cat=5, dog=5)
    labelled = pack(contents)
    download(download_params(name="folder", path="zoo"), Path("data/raw/folder"))
    corpus = Images(Path("data/raw/folder"))
    assert sorted(names(corpus)) == sorted(names(labelled)) == sorted(contents)
    assert corpus.classes == labelled.classes
