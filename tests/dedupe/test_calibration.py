import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganpipe.dedupe import calibration
from ganpipe.dedupe.calibration import (
    BLUE,
    CELL,
    LABELS,
    LINE,
    RED,
    TOP,
    Calibration,
    Row,
    calibrate,
    picture,
    write_csv,
)
from ganpipe.dedupe.perturb import PERTURBATIONS
from ganpipe.intervals import wilson
from support.codes import skewed_codes
from support.scenes import scenes

SCENES = scenes(60)
Squares = Callable[[np.ndarray], np.ndarray]


def of(images: np.ndarray) -> Squares:
    return lambda indices: images[indices]


def calibrated(codes: np.ndarray, sample: list[int], planted: dict[str, np.ndarray], **changes: Any) -> Calibration:
    settings: dict[str, Any] = {"squares": of(SCENES), "largest": 8, "most_false": 0.01, **changes}
    return calibrate(codes, np.array(sample), planted, **settings)


def rows(found: Calibration, name: str) -> list[Row]:
    return [row for row in found.rows if row.perturbation == name]


def brute_force(codes: np.ndarray, sample: np.ndarray, copies: np.ndarray, photograph: np.ndarray) -> np.ndarray:
    """By distance, 0 to all bits: sources found, and images found that are of another photograph than the source."""
    bits = np.unpackbits(codes, axis=1), np.unpackbits(copies, axis=1)
    distance = (bits[1][:, None] != bits[0][None]).sum(2)
    own = np.arange(len(codes)) == sample[:, None]
    other = photograph != photograph[sample][:, None]
    return np.array([((distance == d) & kind).sum() for d in range(33) for kind in (own, other)]).reshape(33, 2)


@settings(deadline=None)
@given(
    skewed_codes(smallest=1),
    st.integers(0, 9),
    st.sampled_from([1, 7, 1024]),
    st.sampled_from([2, 5, 60]),
    st.integers(0, 1000),
)
def test_figures_are_those_of_brute_force(
    codes: np.ndarray, largest: int, block: int, photographs: int, seed: int
) -> None:
    source = np.random.default_rng(seed)
    sample = source.permutation(len(codes))[: source.integers(1, len(codes) + 1)]
    planted = {
        name: codes[sample] ^ np.packbits(source.random((len(sample), 8 * codes.shape[1])) < share, axis=1)
        for name, share in (("blur", 0.05), ("shift_1", 0.1), ("flip", 0.5))
    }
    photograph = source.integers(0, photographs, len(codes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "BLOCK", block)
        found = calibrate(codes, sample, planted, of(SCENES[photograph]), largest, 0.01)
    assert [row.perturbation for row in found.rows[:: largest + 1]] == ["blur", "shift_1", "flip", "mild", "all"]
    for name, members in {**{name: [name] for name in planted}, "mild": ["shift_1"], "all": list(planted)}.items():
        by_distance = [brute_force(codes, sample, planted[member], photograph) for member in members]
        due = np.sum(by_distance, axis=0).cumsum(0)
        assert [(row.radius, row.found, row.false_finds) for row in rows(found, name)] == [
            (radius, true, false) for radius, (true, false) in enumerate(due[: largest + 1].tolist())
        ]
        assert {row.planted for row in rows(found, name)} == {len(members) * len(sample)}


@settings(deadline=None)
@given(skewed_codes(smallest=1), st.integers(0, 1000))
def test_shares_and_intervals_follow_from_the_counts(codes: np.ndarray, seed: int) -> None:
    source = np.random.default_rng(seed)
    planted = {name: source.permutation(codes) for name in ("blur", "jpeg_75")}
    found = calibrated(codes, list(range(len(codes))), planted)
    for row in found.rows:
        assert row.recall == row.found / row.planted
        assert (row.recall_low, row.recall_high) == wilson(row.recall, row.planted)
        finds = row.found + row.false_finds
        if finds:
            assert row.precision == row.found / finds
            assert (row.precision_low, row.precision_high) == wilson(row.precision, finds)
        else:
            assert (row.precision, row.precision_low, row.precision_high) == (1, 0, 1)
    for name in ("blur", "jpeg_75", "mild", "all"):
        recalls = [row.recall for row in rows(found, name)]
        assert recalls == sorted(recalls)


def test_a_perfect_hash_finds_all_and_nothing_else() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (60, 16), np.uint8)  # 128 bits: no two within 8
    found = calibrated(codes, [3, 50, 7], {name: codes[[3, 50, 7]] for name in PERTURBATIONS})
    assert all((row.recall, row.precision) == (1, 1) for row in found.rows)
    assert (found.radius, found.holds, found.images) == (8, True, 60)


def test_constant_codes_find_everything() -> None:
    codes = np.zeros((60, 16), np.uint8)
    found = calibrated(codes, [3, 50], {"blur": codes[:2]})
    assert all((row.recall, row.precision) == (1, 1 / 60) for row in found.rows)
    assert (found.radius, found.holds) == (0, False)


def test_a_near_duplicate_in_the_corpus_counts_neither_way() -> None:
    codes, images = np.zeros((4, 1), np.uint8), SCENES[[0, 1, 2, 3]]
    images[1] = np.roll(images[0], 1, axis=1)  # one photograph, moved by a pixel
    codes[3] = 255
    row = calibrated(codes, [0], {"blur": codes[:1]}, squares=of(images)).rows[0]
    assert (row.found, row.false_finds) == (1, 1)  # image 2 alone is a false find


def test_a_mirror_image_in_the_corpus_is_no_false_find_of_a_mirrored_copy() -> None:
    mirrored = SCENES.copy()
    mirrored[7] = mirrored[3][:, ::-1]
    codes = np.zeros((60, 2), np.uint8)
    found = calibrated(codes, [3], {"flip": codes[:1]}, squares=of(mirrored))
    assert found.rows[0].false_finds == 58


def test_a_source_without_edges_is_no_false_find_of_its_own() -> None:
    images = SCENES[:3].copy()
    images[1] = 0
    images[1, :, 0] = 255  # an edge where the judge does not look
    row = calibrated(np.zeros((3, 1), np.uint8), [1], {"blur": np.zeros((1, 1), np.uint8)}, squares=of(images)).rows[0]
    assert (row.found, row.false_finds) == (1, 2)


def test_the_judge_reads_only_what_is_found() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (60, 16), np.uint8)
    codes[[9, 41]] = codes[4]
    read: list[int] = []

    def squares(indices: np.ndarray) -> np.ndarray:
        read.extend(indices.tolist())
        return SCENES[indices]

    calibrated(codes, [4, 5], {"blur": codes[[4, 5]]}, squares=squares)
    assert read == [4, 5, 9, 41]


# One source that is found at once, and others at these distances: so many finds are false.
@pytest.mark.parametrize(
    ("false_at", "most_false", "radius", "holds"),
    [
        ([], 0.01, 8, True),
        ([3], 0.49, 2, True),
        ([3], 0.5, 8, True),  # just the bound: 1 of 2
        ([3, 5], 0.5, 4, True),
        ([0], 0.01, 0, False),
        ([1], 0.01, 0, True),
    ],
)
def test_the_radius_is_the_largest_that_keeps_the_bound(
    false_at: list[int], most_false: float, radius: int, holds: bool
) -> None:
    codes = np.full((1 + len(false_at), 4), 255, np.uint8)
    codes[0] = 0
    for place, distance in enumerate(false_at, start=1):
        codes[place] = np.packbits(np.arange(32) < distance)
    found = calibrated(codes, [0], {"blur": codes[:1]}, most_false=most_false)
    assert (found.radius, found.holds) == (radius, holds)


def test_a_radius_beyond_one_that_breaks_the_bound_is_not_chosen() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (12, 16), np.uint8)
    copies = codes[:10].copy()
    copies[:, 0] ^= 0b1111  # true finds from 4 bits on
    copies[0] = codes[11]
    copies[0, 0] ^= 0b11  # a false one from 2
    found = calibrated(codes, list(range(10)), {"blur": copies}, most_false=0.1)
    assert [round(1 - row.precision, 2) for row in rows(found, "all")[:5]] == [0, 0, 1, 1, 0.1]
    assert (found.radius, found.holds) == (1, True)


def test_the_bound_is_on_all_perturbations_together() -> None:
    codes = np.array([[0], [255]], np.uint8)
    planted = {"blur": codes[:1], "flip": codes[1:]}  # the flipped copy finds the other image
    assert not calibrated(codes, [0], planted, most_false=0.4).holds
    assert calibrated(codes, [0], planted, most_false=0.5).holds


def test_false_finds_among_a_sample_stand_for_those_of_all() -> None:
    codes = np.zeros((60, 2), np.uint8)
    alone = calibrated(codes, [3], {"blur": codes[:1]})
    extrapolated = calibrated(codes, [3], {"blur": codes[:1]}, of=60 + 2 * 59)
    assert alone.rows[0].false_finds == 59
    assert extrapolated.rows[0].false_finds == 3 * 59
    assert (alone.images, extrapolated.images) == (60, 178)


def test_without_mild_ones_there_is_no_row_of_them() -> None:
    codes = np.zeros((2, 1), np.uint8)
    assert {row.perturbation for row in calibrated(codes, [0], {"flip": codes[:1]}).rows} == {"flip", "all"}


@pytest.mark.parametrize(
    ("planted", "sample", "message"),
    [
        ({}, [0], "nothing"),
        ({"blur": np.zeros((0, 2), np.uint8)}, [], "nothing"),
        ({"blur": np.zeros((2, 2), np.uint8)}, [0], r"blur: codes of shape \(2, 2\), where \(1, 2\) is due"),
        ({"blur": np.zeros((1, 1), np.uint8)}, [0], r"blur: .*\(1, 1\)"),
    ],
)
def test_refuses_codes_that_are_not_the_copies(planted: dict[str, np.ndarray], sample: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrated(np.zeros((3, 2), np.uint8), sample, planted)


def made(counts: dict[str, list[tuple[int, int]]], radius: int, holds: bool) -> Calibration:
    """From found (of 10 planted) and false finds by perturbation and radius."""
    found = [
        calibration._row(name, place, 10, found, false)
        for name, by_radius in counts.items()
        for place, (found, false) in enumerate(by_radius)
    ]
    return Calibration(found, radius, holds, 500)


SMALL = {"blur": [(0, 0), (10, 0)], "flip": [(0, 3), (5, 5)], "all": [(0, 3), (10, 5)]}


def test_the_table_has_a_line_a_row(tmp_path: Path) -> None:
    write_csv(tmp_path / "plots" / "calibration.csv", made(SMALL, 1, True))
    with (tmp_path / "plots" / "calibration.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == list(Row._fields)
    assert [(line["perturbation"], line["radius"]) for line in lines] == [
        (name, str(radius)) for name in SMALL for radius in (0, 1)
    ]
    last = lines[-1]
    assert (last["planted"], last["found"], last["false_finds"]) == ("10", "10", "5")
    assert (last["recall"], last["precision"]) == ("1.0", "0.66667")
    assert float(last["precision_low"]) == pytest.approx(wilson(10 / 15, 15)[0], abs=5e-6)


def colour(image: Image.Image, line: int, column: int) -> Any:
    """Of a cell, beside its number; lines are counted from the first title."""
    return image.getpixel((LABELS + column * CELL + 3, TOP + line * LINE + 3))


def test_the_picture_is_the_bluer_the_more_is_found_and_the_redder_the_more_is_false() -> None:
    drawn = picture(made(SMALL, 1, False))
    assert [colour(drawn, line, 0) for line in (1, 2, 3)] == [(255, 255, 255)] * 3
    assert [colour(drawn, line, 1) for line in (1, 3)] == [BLUE] * 2
    half, white = colour(drawn, 2, 1), (255, 255, 255)
    assert all(deep < shade < light for deep, shade, light in zip(BLUE, half, white, strict=True))
    assert colour(drawn, 5, 0) == RED  # all that was found at radius 0 is false
    third = colour(drawn, 5, 1)
    assert all(deep < shade <= light for deep, shade, light in zip(RED, third, white, strict=True))


@pytest.mark.parametrize("radius", [0, 1])
def test_the_chosen_radius_is_framed_if_there_is_one(radius: int) -> None:
    plain, framed = (np.asarray(picture(made(SMALL, radius, holds))).astype(int) for holds in (False, True))
    rows, columns = np.nonzero((plain != framed).any(2)[TOP - LINE :])
    left = LABELS + radius * CELL
    assert (columns.min(), columns.max()) == (left - 2, left + CELL - 1)
    assert (rows.min(), rows.max()) == (0, 7 * LINE)
    assert (framed[TOP : TOP + 6 * LINE, left - 1] == 0).all()


def test_the_picture_says_what_was_chosen() -> None:
    heads = [np.asarray(picture(made(SMALL, 1, holds)))[: TOP - LINE] for holds in (False, True)]
    assert all(head.min() < 150 for head in heads)
    assert (heads[0] != heads[1]).any()


def test_the_picture_grows_with_radii_and_perturbations() -> None:
    many = {name: [(place % 11, place) for place in range(17)] for name in [*PERTURBATIONS, "mild", "all"]}
    drawn = picture(made(many, 3, True))
    assert drawn.width > LABELS + 17 * CELL
    assert drawn.height > TOP + (len(many) + 4) * LINE
    assert colour(drawn, len(many), 10) == BLUE  # `all`, at a radius where all 10 are found
