import numpy as np
import pytest

from ganpipe.histogram import BINS, FOOT, GENERATED, HIGH, REAL, WIDE, histogram


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


def test_the_line_around_the_real_ones_takes_two_thirds_of_the_width() -> None:
    real = np.linspace(0, 10, 10_000)
    picture = np.asarray(histogram(np.full(10, 5.0), real))
    line = (picture[: HIGH - 2] == REAL).all(2).any(0)  # above the ground
    drawn = np.flatnonzero(line) / (BINS * WIDE)
    assert (drawn[0], drawn[-1]) == pytest.approx((1 / 6, 5 / 6), abs=0.01)


def test_bars_and_the_line_are_shares_however_many_numbers_there_are() -> None:
    real = np.linspace(0, 10, 10_000)
    few, many = (np.asarray(histogram(np.repeat([2.0, 8.0], count), real)) for count in (5, 5000))
    np.testing.assert_array_equal(few, many)
    both = np.asarray(histogram(real[::10], real))  # alike: the bars reach the line
    assert min(height(both, column) for column in range(BINS // 6 + 1, 5 * BINS // 6 - 1)) > 0.8 * HIGH


def test_the_numbers_below_are_where_they_lie() -> None:
    picture = np.asarray(histogram(np.full(10, 5.0), np.linspace(0, 10, 10_000)))
    written = np.flatnonzero((picture[HIGH + 4 : HIGH + FOOT] != 255).any((0, 2))) / (BINS * WIDE)
    for place in (1 / 6, 1 / 2, 5 / 6):  # the least, the middle and the greatest of the real ones
        assert np.abs(written - place).min() < 0.01
    assert ((written > 0.12) & (written < 0.9)).all()
