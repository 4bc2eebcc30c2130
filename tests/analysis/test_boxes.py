import json
import os
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.analysis.boxes import Box, find, read
from ganpipe.analysis.handwritten import Drawn
from ganpipe.corpus.images import decode
from ganpipe.errors import UserError

MIRROR = os.environ.get("GANPIPE_MIRROR")
SAMPLES, SIZE = 20, 64
DRAWN = Drawn("3f" * 32, 7)
EYES, LEVEL = (20, 44), 26  # of the drawn face: where its eyes are, across and down
ends = st.lists(st.integers(0, SIZE), min_size=2, max_size=2, unique=True).map(sorted)
boxes = st.builds(
    lambda sample, across, down: Box(sample, across[0], down[0], across[1], down[1]),
    st.integers(0, SAMPLES - 1),
    ends,
    ends,
)


def as_csv(held: list[Box]) -> str:
    return "\n".join([",".join(Box._fields), *(",".join(map(str, box)) for box in held)])


@given(st.lists(boxes, min_size=1, max_size=9))
def test_both_forms_give_the_boxes_back(held: list[Box]) -> None:
    Path("boxes.json").write_text(json.dumps([box._asdict() for box in held]))
    Path("boxes.csv").write_text(as_csv(held))
    for name in ("boxes.json", "boxes.csv"):
        assert read("analyse.boxes", Path(name), SAMPLES, SIZE, DRAWN) == held


def test_a_file_says_whose_samples_its_boxes_are_on(capsys: pytest.CaptureFixture[str]) -> None:
    held = json.loads(box())
    for said in ({"model": DRAWN.model, "seed": 7}, {"model": DRAWN.model[:16]}):
        Path("boxes.json").write_text(json.dumps({"boxes": held, **said}))
        assert read("analyse.boxes", Path("boxes.json"), SAMPLES, SIZE, DRAWN) == [Box(**held[0])]
    assert capsys.readouterr().out == ""
    Path("boxes.json").write_text(json.dumps({"boxes": held, "model": "4f" * 32}))
    with pytest.raises(UserError, match="boxes.json names samples of the generator 4f4f"):
        read("analyse.boxes", Path("boxes.json"), SAMPLES, SIZE, DRAWN)
    Path("boxes.csv").write_text(as_csv([Box(**held[0])]))
    read("analyse.boxes", Path("boxes.csv"), SAMPLES, SIZE, DRAWN)
    assert "warning: boxes.csv does not say which generator" in capsys.readouterr().out


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(Box._fields), inner, max_size=5),
)


@given(json_values.map(json.dumps) | st.text(max_size=60), st.sampled_from([".json", ".csv"]))
def test_whatever_a_file_holds_it_is_boxes_or_one_sentence(text: str, suffix: str) -> None:
    path = Path(f"hostile{suffix}")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = read("analyse.boxes", path, SAMPLES, SIZE, DRAWN)
    except UserError as error:
        assert "hostile" in str(error) and "\n" not in str(error).replace(text, "") and len(str(error)) < 400
    else:
        assert all(0 <= box.sample < SAMPLES and 0 <= box.left < box.right <= SIZE for box in found)


def box(**changes: object) -> str:
    return json.dumps([{"sample": 1, "left": 2, "top": 3, "right": 9, "bottom": 9, **changes}])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", box(sample=20), "a.json, box 1: sample is 20, but they go from 0 to 19"),
        ("a.json", box(sample=-1), "sample is -1"),
        ("a.json", box(right=65), r"\(2, 3, 65, 9\) is no box from left, top to right, bottom in 64x64 pixels"),
        ("a.json", box(bottom=3), "is no box"),
        ("a.json", box(top=1.5), "five whole numbers, sample, left, top, right, bottom"),
        ("a.json", box(left=True), "five whole numbers"),
        ("a.json", "[]", "analyse.boxes is a.json, which holds no list of 1 to 10,000 boxes"),
        ("a.json", "{}", "holds no list"),
        ("a.json", "[" * 100_000, "is not JSON"),
        ("a.json", " " * 2_000_000, "has more than 1,048,576 bytes"),
        ("a.csv", "sample,left,top,right\n1,2,3,9", "box 1: it is to have five whole numbers"),
        ("a.csv", "sample,left,top,right,bottom\n1,2,3,9,1_0", "five whole numbers"),
        ("a.csv", "sample,left,top,right,bottom\n1,2,3,9," + "9" * 5000, "five whole numbers"),
        ("a.csv", "sample,left,top,right,bottom\n", "holds no list"),
    ],
)
def test_what_is_wrong_is_told(name: str, text: str, said: str) -> None:
    Path(name).write_text(text)
    with pytest.raises(UserError, match=said):
        read("analyse.boxes", Path(name), SAMPLES, SIZE, DRAWN)


def test_a_file_that_is_not_there_and_one_that_is_no_text_are_told() -> None:
    with pytest.raises(UserError, match="analyse.boxes is nowhere.json, which is no file"):
        read("analyse.boxes", Path("nowhere.json"), SAMPLES, SIZE, DRAWN)
    Path("a.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="which is no text in UTF-8"):
        read("analyse.boxes", Path("a.json"), SAMPLES, SIZE, DRAWN)


def a_face(eyes: bool) -> np.ndarray:
    """Skin, and in the upper half two eyes, each a dark iris in a light field under a brow: uint8 (64, 64, 3)."""
    y, x = np.mgrid[:64, :64]
    image = np.full((64, 64), 170, np.float32)
    for centre in EYES if eyes else ():
        image[((x - centre) / 8) ** 2 + ((y - LEVEL) / 4.5) ** 2 < 1] = 140
        image[(x - centre) ** 2 + (y - LEVEL) ** 2 < 9] = 15
        image[(abs(x - centre) < 9) & (abs(y - LEVEL + 7.5) < 1.5)] = 50
    return cv2.GaussianBlur(image, (0, 0), 1.5)[..., None].repeat(3, 2).astype(np.uint8)


def test_eyes_are_found_where_they_are_and_nothing_where_there_are_none() -> None:
    face = a_face(eyes=True)
    found = find(np.stack([a_face(eyes=False), face]), "eyes")
    assert {each.sample for each in found} == {1}
    for centre in EYES:
        assert any(each.left < centre < each.right and each.top < LEVEL < each.bottom for each in found)
    assert all(each.right - each.left < 30 for each in found)
    assert find(face[None, ::-1], "eyes") == []  # in the lower half are none
    assert find(face[None], "smiles") == []


@pytest.mark.skipif(MIRROR is None, reason="GANPIPE_MIRROR is not set: no real faces at hand")
def test_of_real_faces_those_that_smile_are_told_from_the_others() -> None:
    path = Path(MIRROR or "") / "lfw64" / "train-00000-of-00001.parquet"
    if not path.is_file():
        pytest.skip(f"GANPIPE_MIRROR={MIRROR} has no lfw64")
    rows = next(pq.ParquetFile(path).iter_batches(200, columns=["image", "smiling"])).to_pylist()
    faces = np.stack([np.asarray(decode(row["image"]["bytes"])) for row in rows])
    smiling = np.array([(row["smiling"] or 0) > 0.5 for row in rows])
    smile, eye = (np.isin(np.arange(200), [each.sample for each in find(faces, what)]) for what in ("smiles", "eyes"))
    assert smile[smiling].mean() > 0.75
    assert smile[~smiling].mean() < 0.45
    assert eye.mean() > 0.75
