import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganpipe.errors import UserError
from ganpipe.evaluation import distances as module
from ganpipe.evaluation.distances import Moments, distances, fid, kid, mmd, moments, precision_recall

SEEDS, ROWS, COLUMNS, BLOCKS = st.integers(0, 2**32), st.integers(4, 25), st.integers(1, 12), st.integers(1, 30)


def normal(rows: int, columns: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Correlated, of unequal variances, around unequal means."""
    source = np.random.default_rng(seed)
    mixed = source.normal(size=(rows, columns)) @ source.normal(size=(columns, columns)) + source.normal(size=columns)
    return torch.from_numpy(mixed).to(dtype)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 7)


@settings(deadline=None)
@given(ROWS, COLUMNS, SEEDS, BLOCKS)
def test_moments_are_numpys_whatever_the_blocks(rows: int, columns: int, seed: int, block: int) -> None:
    features = normal(rows, columns, seed) + 1000  # far from 0, where one pass over squares would lose digits
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS", block)
        found = moments(features)
    wide = features.double().numpy()
    np.testing.assert_allclose(found.mean, wide.mean(0), rtol=1e-13)
    expected = np.atleast_2d(np.cov(wide, rowvar=False))
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-9, atol=1e-9 * expected.max())


@settings(deadline=None)
@given(ROWS, ROWS, COLUMNS, SEEDS)
def test_fid_is_what_the_nuclear_norm_gives(first: int, second: int, columns: int, seed: int) -> None:
    """With S = X'X / (n - 1) of centred X, tr (S S')^(1/2) is the sum of the singular values of X Y' / root: no roots,
    and no full rank either.
    """
    x, y = normal(first, columns, seed).double(), normal(second, columns, seed + 1).double()
    X, Y = (part - part.mean(0) for part in (x, y))
    shared = torch.linalg.svdvals(X @ Y.T).sum() / math.sqrt((first - 1) * (second - 1))
    spread = X.square().sum() / (first - 1) + Y.square().sum() / (second - 1)
    expected = (x.mean(0) - y.mean(0)).square().sum() + spread - 2 * shared
    assert fid(moments(x), moments(y)) == pytest.approx(float(expected), abs=1e-6 * float(spread))


def test_fid_of_known_gaussians_is_the_closed_form() -> None:
    means = torch.tensor([[1.0, 0, -2], [0, 3, -2]]).double()
    variances = torch.tensor([[4.0, 9, 0], [1, 25, 16]]).double()
    real, generated = (Moments(m, v.diag()) for m, v in zip(means, variances, strict=True))
    assert fid(real, generated) == pytest.approx(1 + 9 + (2 - 1) ** 2 + (3 - 5) ** 2 + (0 - 4) ** 2, rel=1e-12)


@settings(deadline=None)
@given(ROWS, COLUMNS, SEEDS)
def test_fid_of_equal_sets_is_0_of_two_symmetric_and_never_negative(rows: int, columns: int, seed: int) -> None:
    x, y = (moments(normal(rows, columns, seed + number)) for number in (0, 1))
    size = float(x.covariance.trace() + y.covariance.trace())
    assert 0 <= fid(x, x) <= 1e-6 * size
    assert fid(x, y) == pytest.approx(fid(y, x), abs=1e-6 * size)


@settings(deadline=None)
@given(COLUMNS, SEEDS)
def test_fid_does_not_see_a_rotation_of_both(columns: int, seed: int) -> None:
    x, y = (normal(40, columns, seed + number, torch.float64) for number in (0, 1))
    rotation = torch.linalg.qr(normal(columns, columns, seed + 2, torch.float64)).Q
    expected = fid(moments(x), moments(y))
    assert fid(moments(x @ rotation), moments(y @ rotation)) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    moved = fid(moments(x + 1), moments(y))
    assert moved == pytest.approx(fid(moments((x + 1) @ rotation), moments(y @ rotation)), rel=1e-6, abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 9), st.integers(2, 9), COLUMNS, SEEDS)
def test_mmd_is_the_double_loop(first: int, second: int, columns: int, seed: int) -> None:
    x, y = normal(first, columns, seed).double(), normal(second, columns, seed + 1).double()

    def mean(pairs: list[tuple[Tensor, Tensor]]) -> float:
        return sum((float(a @ b) / columns + 1) ** 3 for a, b in pairs) / len(pairs)

    within = [mean(list(itertools.permutations(part, 2))) for part in (x, y)]
    expected = sum(within) - 2 * mean(list(itertools.product(x, y)))
    assert mmd(x, y) == pytest.approx(expected, rel=1e-8, abs=1e-8 * sum(map(abs, within)))


def test_kid_is_unbiased() -> None:
    """The mean over many pairs of small samples of one distribution is 0, to four of its standard errors."""
    source = torch.Generator().manual_seed(0)
    found = [mmd(*torch.randn(2, 12, 4, generator=source).double()) for _ in range(3000)]
    error = float(np.std(found)) / math.sqrt(len(found))
    assert abs(float(np.mean(found))) < 4 * error < 0.1


def test_kid_of_more_than_a_subset_is_a_mean_over_seeded_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUBSET", 50)
    source = torch.Generator().manual_seed(0)
    x, y, z = torch.randn(3, 400, 8, generator=source)
    same, error = kid(x, y, seed=0)
    apart, _ = kid(x, 1.5 * z, seed=0)
    assert error is not None and abs(same) < 0.1 < apart
    assert kid(x, y, seed=0) == (same, error)
    assert kid(x, y, seed=1) != (same, error)
    assert apart == pytest.approx(mmd(x.double(), 1.5 * z.double()), rel=0.1)


def test_kid_of_no_more_than_a_subset_is_one_without_an_error() -> None:
    x, y = normal(30, 5, 0), normal(30, 5, 1)
    value, error = kid(x, y, seed=0)
    assert value == pytest.approx(mmd(x.double(), y.double()))
    assert error is None


def oracle(points: np.ndarray, centres: np.ndarray) -> float:
    """The share of the points within the third nearest neighbour's distance of a centre; image by image."""
    radii = [sorted(((centres - centre) ** 2).sum(1))[3] for centre in centres]
    among = [any(((point - c) ** 2).sum() <= r for c, r in zip(centres, radii, strict=True)) for point in points]
    return sum(among) / len(among)


@settings(deadline=None)
@given(ROWS, ROWS, st.integers(1, 4), SEEDS, BLOCKS, st.booleans())
def test_precision_and_recall_are_the_oracles(
    first: int, second: int, columns: int, seed: int, block: int, whole: bool
) -> None:
    """Small whole numbers make many ties and equal images, and their distances are exact."""
    source = np.random.default_rng(seed)
    real, generated = source.normal(0, 2, (first, columns)), source.normal(1, 2, (second, columns))
    if whole:
        real, generated = real.round(), generated.round()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS", block)
        found = precision_recall(torch.from_numpy(real), torch.from_numpy(generated))
    assert found == pytest.approx((oracle(generated, real), oracle(real, generated)))


@pytest.mark.usefixtures("small_blocks")
def test_precision_and_recall_are_1_of_equal_sets_and_0_of_sets_far_apart() -> None:
    x = normal(50, 6, 0)
    assert precision_recall(x, x) == (1, 1)
    assert precision_recall(x, x + 1000) == (0, 0)


@pytest.mark.usefixtures("small_blocks")
def test_few_different_images_are_precise_and_recall_little() -> None:
    x = normal(60, 6, 0)
    collapsed = x[:1].repeat(60, 1)
    precision, recall = precision_recall(x, collapsed)
    assert precision == 1
    assert recall == pytest.approx(1 / 60)


def test_equal_images_are_at_distance_0_whatever_rounding_leaves() -> None:
    """Of |a|^2 + |b|^2 - 2 a.b, where a radius may be 0 too."""
    x = (normal(9, 300, 0) + 100).double()
    squares = module._squares(x.repeat(5, 1), x)
    equal = torch.eye(9, dtype=torch.bool).repeat(5, 1)
    assert (squares[equal] == 0).all()
    assert (squares[~equal] > 1).all()


def test_every_figure_carries_the_name_and_few_images_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    found = distances(normal(30, 8, 0), normal(25, 8, 1), "n_30_25", seed=0)
    assert list(found) == [f"{key}_n_30_25" for key in ("fid", "kid", "kid_error", "precision", "recall")]
    assert capsys.readouterr().out == ""
    distances(normal(30, 8, 0), normal(8, 8, 1), "n", seed=0)
    assert capsys.readouterr().out.startswith("warning: 8 images give covariances of less than full rank to 8 features")


def test_too_few_images_and_broken_features_are_refused() -> None:
    with pytest.raises(UserError, match="there are 3 generated images: 4 are the fewest"):
        distances(normal(9, 2, 0), normal(3, 2, 1), "n", seed=0)
    broken = normal(9, 2, 0)
    broken[5, 1] = torch.nan
    with pytest.raises(UserError, match="real images hold NaN"):
        distances(broken, normal(9, 2, 0), "n", seed=0)
