import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganpipe.evaluation import preconditioner
from ganpipe.evaluation.design import Design
from ganpipe.evaluation.preconditioner import choose, from_a_sample, from_all_rows


def system(design: Design, c: float) -> np.ndarray:
    X = np.column_stack([design.features.double().numpy(), np.full(design.rows, design.constant)])
    return np.eye(design.columns) + c * X.T @ X


def tall(rows: int = 300, columns: int = 20) -> Design:
    return Design(np.abs(np.random.default_rng(0).normal(size=(rows, columns))))


@settings(deadline=None)
@given(st.floats(1e-6, 1e4), st.integers(0, 10))
def test_all_rows_solve_the_system(c: float, seed: int) -> None:
    design = tall()
    residual = np.random.default_rng(seed).normal(size=(design.columns, 3))
    solved = from_all_rows(design, c)(torch.from_numpy(residual))
    np.testing.assert_allclose(system(design, c) @ solved.numpy(), residual, atol=1e-6)


@settings(deadline=None)
@given(st.floats(1e-6, 1e2), st.integers(0, 10))
def test_a_sample_of_all_rows_solves_it_too(c: float, seed: int) -> None:
    design = tall(rows=100)  # fewer than the fewest that a sample has
    residual = np.random.default_rng(seed).normal(size=(design.columns, 3))
    solved = from_a_sample(design, c)(torch.from_numpy(residual))
    np.testing.assert_allclose(system(design, c) @ solved.numpy(), residual, atol=1e-6)


@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
def test_a_sample_makes_the_system_better_conditioned(c: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditioner, "FEWEST", 100)
    design = tall(rows=1000)
    solve = from_a_sample(design, c)
    inverse = solve(torch.eye(design.columns, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(inverse, inverse.T, atol=1e-9)
    before = np.linalg.cond(system(design, c))
    after = np.linalg.eigvals(inverse @ system(design, c)).real
    assert after.min() > 0
    assert after.max() / after.min() < min(before, 10)


def test_the_gram_matrix_is_made_where_it_is_cheap_or_once_it_has_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    design = tall()
    assert choose(design) is from_all_rows
    monkeypatch.setattr(preconditioner, "CHEAP", 10)
    monkeypatch.setattr(preconditioner, "PASSES_A_COLUMN", 1)
    assert choose(design) is from_a_sample
    for _ in range(design.columns + 1):
        design.through(torch.zeros(design.columns, 1, dtype=torch.float64), lambda scores, rows: scores)
    assert choose(design) is from_all_rows
    monkeypatch.setattr(preconditioner, "MEMORY", 2 * 21 * 21 / (300 * 20) - 0.01)
    assert choose(design) is from_a_sample
