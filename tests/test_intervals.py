import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganpipe.intervals import wilson

SHARES, COUNTS = st.floats(0, 1), st.integers(1, 1_000_000)


def test_interval_is_wilsons() -> None:
    # The worked examples of Newcombe, Statistics in Medicine 17 (1998), method 3.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1 / 29, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_at_its_ends_the_share_is_1_96_standard_deviations_away(count: int, place: float) -> None:
    share = round(place * count) / count
    for end in wilson(share, count):
        assert (share - end) ** 2 == pytest.approx(1.96**2 * end * (1 - end) / count, rel=1e-6, abs=1e-12)


@settings(deadline=None)
@given(SHARES, COUNTS)
def test_it_holds_the_share_and_stays_one(share: float, count: int) -> None:
    low, high = wilson(share, count)
    assert 0 <= low <= share <= high <= 1


@settings(deadline=None)
@given(SHARES, COUNTS)
def test_the_complement_has_the_mirrored_interval(share: float, count: int) -> None:
    low, high = wilson(share, count)
    assert wilson(1 - share, count) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@settings(deadline=None)
@given(SHARES, st.integers(1, 10_000))
def test_more_trials_narrow_it(share: float, count: int) -> None:
    (low, high), (nearer_low, nearer_high) = wilson(share, count), wilson(share, 4 * count)
    assert nearer_high - nearer_low < high - low
