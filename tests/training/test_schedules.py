from itertools import pairwise

import pytest

from ganpipe.training.schedules import SCHEDULES, constant, cosine, linear


@pytest.mark.parametrize("name", SCHEDULES)
def test_all_begin_at_the_rate_that_is_set_and_never_rise(name: str) -> None:
    values = [SCHEDULES[name](step / 100) for step in range(101)]
    assert values[0] == 1
    assert all(later <= earlier for earlier, later in pairwise(values))


def test_linear_is_flat_for_half_and_then_a_line_to_zero() -> None:
    assert [linear(done) for done in (0.25, 0.5, 0.75, 1.0)] == [1, 1, 0.5, 0]


def test_cosine_passes_one_half_and_ends_at_zero() -> None:
    assert [cosine(done) for done in (0.5, 1.0)] == pytest.approx([0.5, 0], abs=1e-12)


def test_every_name_is_its_function() -> None:
    assert {"constant": constant, "linear": linear, "cosine": cosine} == SCHEDULES
