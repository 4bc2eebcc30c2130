import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from ganpipe.corpus.shards import Images, write_numbers, write_pixels
from ganpipe.dedupe.dedupe import dedupe
from ganpipe.dedupe.keep import KEEP, read_kept
from ganpipe.errors import UserError
from ganpipe.manifest import MANIFEST, read_manifest
from support.dedupe_settings import dedupe_params

START, COUNT = 5, 45  # the split does not start at 0, so that an index is not a place within the split
COPIES = {9: 6, 20: 6, 44: 30}  # image to the earlier one that it is a copy of
METHODS = ["whitened", "autoencoder", "phash", "dhash", "whash"]


def run(images: Images, out: Path, evaluated_on: Sequence[Images] = (), **changes: Any) -> dict[str, Any]:
    return dedupe(dedupe_params(**changes), images, evaluated_on, "train", torch.device("cpu"), out)


def table(out: Path) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = pq.read_table(out / KEEP).to_pydict()
    return columns


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Smooth random colours, which every hash tells apart, with a few planted copies; one also across the splits."""
    coarse = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 3), np.uint8)
    pixels = np.stack([np.asarray(Image.fromarray(image).resize((32, 32))) for image in coarse])
    for copy, original in {**COPIES, 12: 0}.items():
        pixels[copy] = pixels[original]
    folder = tmp_path_factory.mktemp("images")
    write_pixels(folder, [pixels], COUNT, None, {"splits": {"test": [0, START], "train": [START, COUNT]}})
    return Images(folder)


@pytest.mark.parametrize("method", METHODS)
def test_copies_are_what_is_removed(images: Images, tmp_path: Path, method: str) -> None:
    figures = run(images, tmp_path / "out", method=method)
    rows = table(tmp_path / "out")
    removed = {
        index: representative
        for index, representative, kept in zip(rows["index"], rows["representative"], rows["kept"], strict=True)
        if not kept
    }
    assert removed == COPIES
    assert (figures["images"], figures["removed"], figures["groups"], figures["largest_group"]) == (40, 3, 2, 3)
    assert read_kept(tmp_path / "out").tolist() == [i for i in range(START, COUNT) if i not in COPIES]


def test_none_keeps_everything(images: Images, tmp_path: Path) -> None:
    run(images, tmp_path / "out", method="none")
    assert read_kept(tmp_path / "out").tolist() == list(range(START, COUNT))


def test_keep_has_a_row_an_image(images: Images, tmp_path: Path) -> None:
    run(images, tmp_path / "out", method="phash", radius=16)
    rows = table(tmp_path / "out")
    assert list(rows) == ["index", "cluster", "representative", "distance", "kept", "leak"]
    assert rows["index"] == list(range(START, COUNT))
    assert rows["kept"] == [a == b for a, b in zip(rows["index"], rows["representative"], strict=True)]
    assert max(rows["distance"]) > 0  # the radius reaches beyond the copies: distances are not all 0


@pytest.mark.parametrize("method", [*METHODS, "none"])
def test_two_runs_write_equal_bytes(images: Images, tmp_path: Path, method: str) -> None:
    held = []
    for name in ("first", "second"):
        run(images, tmp_path / name, method=method)
        held.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert held[0] == held[1]
    assert {KEEP, "groups.png", MANIFEST} <= set(held[0])
    assert {"review.html", "groups.png"} <= set(held[0])
    assert ("encoder.safetensors" in held[0]) == (method in ("whitened", "autoencoder"))


def test_manifest_names_settings_figures_and_corpus(images: Images, tmp_path: Path) -> None:
    figures = run(images, tmp_path / "out", code_bits=16)
    manifest = read_manifest(tmp_path / "out")
    assert manifest["settings"] == dedupe_params(code_bits=16).model_dump()
    assert manifest["figures"] == figures
    assert manifest["corpus"] == images.digest
    assert len(manifest["bit_entropies"]) == 16


def test_images_of_another_size_are_compared_as_squares(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 40, 56, 3), np.uint8)
    pixels[4] = pixels[1]
    write_pixels(tmp_path, [pixels], 6, None, {})
    run(Images(tmp_path), tmp_path / "out", method="dhash")
    assert read_kept(tmp_path / "out").tolist() == [0, 1, 2, 3, 5]


def labelled(folder: Path, pixels: np.ndarray, start: int, **about: Any) -> Images:
    """A set whose test images begin at `start`."""
    folder.mkdir()
    about = {"name": folder.name, "splits": {"train": [0, start], "test": [start, len(pixels)]}, **about}
    write_pixels(folder, [pixels], len(pixels), None, about)
    return Images(folder)


def test_near_duplicates_of_test_images_are_removed_and_named(images: Images, tmp_path: Path) -> None:
    own = images.pixels(np.arange(START))  # image 12 is a copy of the first of them
    other = labelled(tmp_path / "other", images.pixels(np.array([20, 40, 30])), 1)  # 20 is one of its training images
    tests = [labelled(tmp_path / "own", own, 0), other]
    figures = run(images, tmp_path / "out", tests, method="phash", tests=True)
    rows = table(tmp_path / "out")
    leaks = {index: leak for index, leak in zip(rows["index"], rows["leak"], strict=True) if leak}
    assert leaks == {12: "own test #0", 40: "other test #0", 30: "other test #1", 44: "other test #1"}
    assert [rows["representative"][index - START] for index in (12, 6, 9, 20)] == [-1, 6, 6, 6]
    assert (figures["leaks_own"], figures["leaks_other"], figures["leaked_test_images_other"]) == (1, 3, 2)
    assert not {12, 30, 40, 44, 9, 20} & set(read_kept(tmp_path / "out").tolist())
    assert "own #0 (test)" in (tmp_path / "out/review.html").read_text()
    figures = run(images, tmp_path / "without", tests, method="phash", tests=False)
    assert (figures["removed"], figures["leaks"]) == (3, 0)


def test_vetoed_pairs_stay_apart(images: Images, tmp_path: Path) -> None:
    run(images, tmp_path / "out", method="phash", radius=16)
    rows = table(tmp_path / "out")
    near = next(
        (index, representative)
        for index, representative, distance in zip(rows["index"], rows["representative"], rows["distance"], strict=True)
        if distance
    )
    keys = [hashlib.blake2b(images.pixels(np.array([index])).tobytes(), digest_size=8).hexdigest() for index in near]
    (tmp_path / "vetoes.csv").write_text("image,kept\n" + ",".join(keys) + "\n")
    run(images, tmp_path / "again", method="phash", radius=16, vetoes=str(tmp_path / "vetoes.csv"))
    assert table(tmp_path / "again")["representative"][near[0] - START] != near[1]
    assert keys[0] in (tmp_path / "again/review.html").read_text()


def test_vetoes_that_cannot_be_read_are_told_before_any_image_is(
    images: Images, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="nowhere.csv is missing"):
        run(images, tmp_path / "out", vetoes="nowhere.csv")
    assert "reading" not in capfd.readouterr().err


def test_numbers_are_no_images(tmp_path: Path) -> None:
    write_numbers(tmp_path, np.zeros((9, 1), np.float32), {"name": "gaussian"})
    with pytest.raises(UserError, match="holds numbers, where images are due: set download.name to a set of images"):
        run(Images(tmp_path), tmp_path / "out")


def test_images_with_near_codes_are_told_apart_by_their_pixels(images: Images, tmp_path: Path) -> None:
    tests = [labelled(tmp_path / "own", images.pixels(np.arange(START)), 0)]
    near = run(images, tmp_path / "near", tests, method="phash", radius=24, verify=False)
    figures = run(images, tmp_path / "alike", tests, method="phash", radius=24, verify=True)
    assert near["refused_pairs"] == 0 < figures["refused_pairs"]
    assert near["removed"] > figures["removed"]
    rows = table(tmp_path / "alike")
    assert {index for index, kept in zip(rows["index"], rows["kept"], strict=True) if not kept} >= {*COPIES, 12}


def test_auto_chooses_the_radius_that_its_calibration_names(images: Images, tmp_path: Path) -> None:
    figures = run(images, tmp_path / "out", method="whitened", radius="auto", planted=20)
    with (tmp_path / "out/calibration.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["perturbation"] == "all"]
    kept = [float(row["precision"]) >= 0.99 for row in rows]
    assert kept[figures["radius"]]
    assert kept.index(False) == figures["radius"] + 1 if False in kept else figures["radius"] == len(rows) - 1
    assert figures["recall_all"] == pytest.approx(float(rows[figures["radius"]]["recall"]), abs=1e-4)
    assert (tmp_path / "out/calibration.png").exists()
    assert read_manifest(tmp_path / "out")["figures"]["radius"] == figures["radius"]


def test_settings_that_contradict_each_other_are_refused() -> None:
    for changes, sentence in (
        ({"radius": "auto", "planted": 0}, "radius is auto, which takes planted copies"),
        ({"method": "whitened", "code_bits": 440}, "code_bits is 440: whitened has 432 directions"),
        ({"keep": "smallest"}, "keep"),
        ({"keep": "prefer:"}, "keep"),
        ({"radius": 65}, "radius"),
        ({"radius": "all"}, "radius"),
    ):
        with pytest.raises(ValidationError, match=sentence):
            dedupe_params(**changes)


def test_without_keep_the_user_is_told_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"keep\.parquet is missing.*dvc repro dedupe"):
        read_kept(tmp_path)
