import numpy as np

from ganpipe.histogram import BINS, GENERATED, HIGH, WIDE, histogram


def height(picture: np.ndarray, column: int) -> int:
    return int((picture[:HIGH, column * WIDE + WIDE // 2] == GENERATED).all(1).sum())


def test_bars_stand_where_the_numbers_lie() -> None:
    real = np.linspace(0, 10, 10_000)
    picture = np.asarray(histogram(np.full(1000, 5.0), real))
    columns = [height(picture, column) for column in range(BINS)]
    assert int(np.argmax(columns)) in (BINS // 2 - 1, BINS // 2)
    assert sum(map(bool, columns)) == 1


def test_numbers_beyond_the_edge_are_shown_at_it() -> None:
    picture = np.asarray(histogram(np.full(10, 1e9), np.linspace(0, 1, 100)))
    assert height(picture, BINS - 1) > 0
    assert np.asarray(histogram(np.zeros(3), np.zeros(3))).size  # all the same: nothing is divided by its range
