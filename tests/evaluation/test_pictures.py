from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganpipe.evaluation.pictures import (
    BARS_MARGIN,
    BARS_WIDTH,
    CELL,
    LARGEST,
    MARGIN,
    bars_picture,
    confusion,
    confusion_picture,
    mistakes_picture,
    save_pictures,
)
from ganpipe.evaluation.protocols import Answers
from ganpipe.evaluation.report import Evaluation

DEEP, WHITE = (8, 64, 129), (255, 255, 255)


def evaluation(truth: list[int], scores: list[list[float]], classes: list[str]) -> Evaluation:
    """Of one column of scores the sign decides, as for the SVM of two classes."""
    held = np.array(scores)
    predicted = (held[:, 0] > 0).astype(int) if held.shape[1] == 1 else held.argmax(1)
    pixels = np.random.default_rng(0).integers(0, 256, (len(truth), 32, 32, 3), np.uint8)
    bars = {"trained": 0.75, "pixels": 0.25}
    return Evaluation({}, classes, Answers(np.array(truth), held, predicted), pixels, bars, {0: 0.25, 9: 0.75})


def shade(picture: Image.Image, row: int, column: int) -> tuple[int, ...]:
    """The colour of a cell of the matrix, beside its number."""
    colour = picture.getpixel((MARGIN + column * CELL + 3, MARGIN + row * CELL + 3))
    assert isinstance(colour, tuple)
    return colour


@pytest.fixture
def three() -> Evaluation:
    scores: list[list[float]] = [[2, 1, 0], [0, 2, 1], [0, 3, 1], [5, 0, 0], [0, 0, 1]]
    return evaluation([0, 1, 2, 2, 2], scores, ["ant", "bee", "cow"])


def test_confusion_counts_true_by_predicted(three: Evaluation) -> None:
    assert confusion(three).tolist() == [[1, 0, 0], [0, 1, 0], [1, 1, 1]]


def test_confusion_is_square_though_a_class_is_never_predicted() -> None:
    assert confusion(evaluation([0, 0], [[1.0, 0, 0], [1, 0, 0]], ["a", "b", "c"])).shape == (3, 3)


def test_confusion_is_the_darker_the_larger_the_share(three: Evaluation) -> None:
    picture = confusion_picture(three)
    assert shade(picture, 0, 0) == DEEP
    assert shade(picture, 0, 1) == WHITE
    assert sum(DEEP) < sum(shade(picture, 2, 0)) < sum(WHITE)


def test_the_most_confident_mistake_comes_first(three: Evaluation) -> None:
    picture = np.asarray(mistakes_picture(three))
    # Image 3 is taken for class 0 by 5 - 0, image 2 for class 1 by 3 - 1; each is drawn three times as large.
    shown = [picture[42 : 42 + 96 : 3, left : left + 96 : 3] for left in (8, 8 + 104)]
    assert (shown[0] == three.pixels[3]).all()
    assert (shown[1] == three.pixels[2]).all()


def test_mistakes_between_two_classes_are_ordered_too() -> None:
    two = evaluation([0, 1, 1, 0], [[0.5], [-2.0], [1.0], [-1.0]], ["no", "yes"])
    assert (np.asarray(mistakes_picture(two))[42 : 42 + 96 : 3, 8 : 8 + 96 : 3] == two.pixels[1]).all()


def test_bars_are_as_long_as_their_accuracies(three: Evaluation) -> None:
    drawn = np.asarray(bars_picture(three))[:, BARS_MARGIN:]
    filled = (drawn[38:50].max(2) < 200).all(0), (drawn[64:76].max(2) < 200).all(0)
    assert [int(row.sum()) for row in filled] == [BARS_WIDTH * 3 // 4 + 1, BARS_WIDTH // 4 + 1]


def test_no_mistakes_make_an_empty_picture() -> None:
    picture = np.asarray(mistakes_picture(evaluation([0, 1], [[1.0, 0], [0, 1]], ["a", "b"])))
    assert picture.size > 0
    assert (picture == 255).all()


def test_pictures_and_predictions_are_written(three: Evaluation, tmp_path: Path) -> None:
    save_pictures(three, tmp_path / "plots")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "bars.png",
        "classes.csv",
        "confusion.png",
        "mistakes.png",
        "predictions.csv",
        "representations.csv",
        "steps.csv",
    ]
    lines = (tmp_path / "plots" / "predictions.csv").read_text().splitlines()
    assert lines == ["actual,predicted", "ant,ant", "bee,bee", "cow,bee", "cow,ant", "cow,cow"]
    for name in ("confusion", "mistakes"):
        with Image.open(tmp_path / "plots" / f"{name}.png") as picture:
            assert np.asarray(picture).std() > 0


def test_the_picture_of_many_classes_stays_small() -> None:
    count = 400
    many = evaluation(list(range(count)), np.eye(count).tolist(), [f"class {number}" for number in range(count)])
    picture = confusion_picture(many)
    assert picture.size == (MARGIN + LARGEST + 10,) * 2
    cells = np.asarray(picture)[MARGIN + 5 : -10 : LARGEST // count, MARGIN + 5 : -10 : LARGEST // count]
    assert (cells[np.eye(count, dtype=bool)] == DEEP).all()
    assert (cells[~np.eye(count, dtype=bool)] == WHITE).all()
