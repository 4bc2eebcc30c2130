import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.analysis.walk import between, largest_step


@given(st.integers(0, 1000), st.integers(2, 12), st.sampled_from(["linear", "slerp"]))
def test_a_walk_begins_and_ends_where_it_is_told_and_is_the_same_backwards(seed: int, count: int, path: str) -> None:
    one, other = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(seed))
    there, back = between(one, other, count, path), between(other, one, count, path)
    assert there.shape == (3, count, 6)
    torch.testing.assert_close(there[:, 0], one)
    torch.testing.assert_close(there[:, -1], other)
    torch.testing.assert_close(there, back.flip(1))


@given(st.integers(0, 1000))
def test_slerp_turns_evenly_and_changes_its_length_evenly(seed: int) -> None:
    one, other = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(seed))
    (walk,) = between(one, other, 9, "slerp").double()
    directions = walk / walk.norm(dim=1, keepdim=True)
    turns = (directions[1:] * directions[:-1]).sum(1).clamp(-1, 1).acos()
    torch.testing.assert_close(turns, turns[:1].expand_as(turns), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(walk.norm(dim=1).diff(n=2), torch.zeros(7, dtype=torch.float64), rtol=0, atol=1e-4)


@pytest.mark.parametrize("factor", [1.0, -1.0, 2.0])
def test_directions_without_a_great_circle_are_walked_straight(factor: float) -> None:
    one = torch.ones(1, 4)
    torch.testing.assert_close(between(one, factor * one, 5, "slerp"), between(one, factor * one, 5, "linear"))


def test_the_largest_step_tells_a_jump_from_an_even_walk() -> None:
    even = np.arange(0, 90, 10, dtype=np.uint8)[None, :, None, None, None].repeat(3, 4)
    jump = np.array([0] * 5 + [200] * 4, np.uint8)[None, :, None, None, None].repeat(3, 4)
    assert largest_step(even) == pytest.approx(1)
    assert largest_step(jump) == pytest.approx(8)
    assert largest_step(np.concatenate([even, jump])) == pytest.approx(4.5)
    assert largest_step(np.zeros((1, 4, 2, 2, 3), np.uint8)) == 0
