import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganpipe.evaluation import design as module
from ganpipe.evaluation.design import Design


def matrix(rows: int, columns: int, kind: type = np.float32) -> np.ndarray:
    return np.random.default_rng(rows * 1000 + columns).normal(size=(rows, columns)).astype(kind)


def with_constant(X: np.ndarray, constant: float = 1.0) -> np.ndarray:
    return np.column_stack([X.astype(np.float64), np.full(len(X), constant)])


@settings(deadline=None)
@given(
    rows=st.integers(1, 60),
    columns=st.integers(1, 40),
    block=st.integers(1, 500),
    kind=st.sampled_from([np.float16, np.float32, np.float64]),
    constant=st.sampled_from([0.0, 1.0]),
)
def test_products_are_those_of_the_matrix_with_a_constant(
    rows: int, columns: int, block: int, kind: type, constant: float
) -> None:
    X = matrix(rows, columns, kind)
    whole = with_constant(X, constant)
    V, R = np.random.default_rng(0).normal(size=(columns + 1, 3)), np.random.default_rng(1).normal(size=(rows, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        design = Design(X, constant)
        np.testing.assert_allclose(design.scores(torch.from_numpy(V)), whole @ V, atol=1e-9)
        np.testing.assert_allclose(design.transposed(torch.from_numpy(R)), whole.T @ R, atol=1e-9)
        scores, pulled = design.through(torch.from_numpy(V), lambda scores, rows: scores * torch.from_numpy(R)[rows])
        np.testing.assert_allclose(scores, whole @ V, atol=1e-9)
        np.testing.assert_allclose(pulled, whole.T @ (whole @ V * R), atol=1e-8)
        np.testing.assert_allclose(design.gram(), whole.T @ whole, atol=1e-8)
        np.testing.assert_allclose(design.kernel(), whole @ whole.T, atol=1e-8)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_large_features_are_multiplied_in_single_and_summed_in_double_precision(
    kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SMALL", 0)
    X = matrix(500, 30, kind)
    V = np.random.default_rng(0).normal(size=(31, 2))
    design = Design(X)
    assert design.dtype == torch.float32
    assert design.scores(torch.from_numpy(V)).dtype == torch.float64
    np.testing.assert_allclose(design.scores(torch.from_numpy(V)), with_constant(X) @ V, atol=1e-4)
    assert design.doubled().dtype == torch.float64


def test_only_rough_products_of_bf16_features_are_in_bf16() -> None:
    X = torch.from_numpy(matrix(3000, 400)).bfloat16()
    whole, V = with_constant(X.float().numpy()), np.random.default_rng(0).normal(size=(401, 3))
    design, weights = Design(X), torch.from_numpy(V)
    far = {}
    for rough in (False, True):
        scores, pulled = design.through(weights, lambda scores, rows: scores, rough=rough)
        far[rough] = [
            np.abs(found.numpy() - wanted).max() / np.abs(wanted).max()
            for found, wanted in ((scores, whole @ V), (pulled, whole.T @ (whole @ V)))
        ]
    assert max(far[False]) < 1e-5 < 1e-4 < min(far[True]) and max(far[True]) < 1e-2
    for other in (Design(X.float()), design.doubled()):  # there it is no use
        same = [other.through(weights, lambda scores, rows: scores, rough=rough) for rough in (False, True)]
        assert all(torch.equal(one, two) for one, two in zip(*same, strict=True))


@pytest.mark.parametrize("count", [5, 50, 500])
def test_a_sample_is_of_the_rows_and_always_the_same(count: int) -> None:
    X = matrix(50, 4)
    rows, kernel = Design(X).sample(count)
    sample = rows.numpy()
    np.testing.assert_allclose(kernel, sample @ sample.T)
    assert len(sample) == min(count, 50)
    assert {row.tobytes() for row in sample} <= {row.tobytes() for row in with_constant(X)}
    assert len({row.tobytes() for row in sample}) == len(sample)
    np.testing.assert_array_equal(sample, Design(X).sample(count)[0].numpy())


def test_features_are_not_copied_and_not_changed() -> None:
    X = matrix(30, 5)
    before, design = X.copy(), Design(X)
    assert design.features.data_ptr() == X.ctypes.data
    design.gram(), design.kernel(), design.scores(torch.ones(6, 1, dtype=torch.float64))
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("place", [(0, 0), (29, 4)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_check_finds_what_is_no_number_in_any_block(
    place: tuple[int, int], value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 20)
    X = matrix(30, 5)
    Design(X).check()
    X[place] = value
    with pytest.raises(ValueError, match="features hold NaN or infinity"):
        Design(X).check()


def test_a_reversed_view_is_the_matrix_that_it_shows() -> None:
    X = matrix(10, 3)[::-1]
    V = torch.ones(4, 1, dtype=torch.float64)
    np.testing.assert_allclose(Design(X).scores(V), with_constant(X) @ V.numpy())
