from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from ganpipe.corpus.images import square
from ganpipe.dedupe import whitened
from ganpipe.dedupe.perturb import PERTURBATIONS
from ganpipe.dedupe.projection import PIXELS, Projection
from ganpipe.dedupe.report import bit_entropies
from support.scenes import scenes

BITS = 64


def hashed(squares: np.ndarray, bits: int = BITS, seed: int = 0) -> Projection:
    return whitened.fit(bits, seed, len(squares), lambda indices: squares[indices])


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return scenes(1200)


@pytest.fixture(scope="module")
def fitted(images: np.ndarray) -> Projection:
    return hashed(images[:600])


def test_cosines_are_orthonormal_and_the_first_is_flat() -> None:
    basis = whitened.cosines()
    assert basis.shape == (PIXELS, 3 * whitened.FREQUENCIES**2)
    torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1]), atol=1e-5, rtol=0)
    assert basis[:, 0].reshape(32, 32, 3)[..., 0].std() < 1e-6


@pytest.fixture
def enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitened, "ENOUGH", 500)


@pytest.mark.usefixtures("enough")
def test_each_bit_is_set_in_half_of_the_images_also_of_others(images: np.ndarray) -> None:
    fitted = hashed(images[:600])
    assert bit_entropies(fitted.codes(images[:600])).min() > 0.999
    assert bit_entropies(fitted.codes(images[600:])).min() > 0.95


@pytest.mark.usefixtures("enough")
def test_the_sums_of_images_are_uncorrelated(images: np.ndarray) -> None:
    fitted = hashed(images[:600])
    sums = images[:600].reshape(600, -1).astype(np.float64) @ fitted.weight.double().numpy()
    correlation = np.corrcoef(sums.T)
    assert np.abs(correlation - np.eye(BITS)).max() < 1e-3


def test_perturbed_copies_are_nearer_than_any_other_image(images: np.ndarray, fitted: Projection) -> None:
    """Of images that the hash has not seen."""
    others, source = images[600:], np.random.default_rng(0)
    codes = fitted.codes(others)
    apart = np.bitwise_count(codes[:, None] ^ codes[None]).sum(2) + 1000 * np.eye(len(codes), dtype=int)
    for name in ("jpeg_75", "shift_1", "blur", "brightness"):
        copies = np.stack([np.asarray(PERTURBATIONS[name](Image.fromarray(each), source)) for each in others])
        moved = np.bitwise_count(fitted.codes(copies) ^ codes).sum(1)
        assert (moved < apart.min(1)).mean() > 0.98, name


@pytest.mark.parametrize("count", [5, 40])
def test_of_few_images_copies_are_still_nearer_than_others(images: np.ndarray, count: int) -> None:
    few, source = images[:count], np.random.default_rng(0)
    one = hashed(few)
    codes = one.codes(images)
    for name in ("jpeg_75", "resize_0.8", "shift_1"):
        perturb = PERTURBATIONS[name]
        copies = np.stack([square(perturb(Image.fromarray(each), source), 32, "bilinear") for each in images])
        moved = np.bitwise_count(one.codes(copies) ^ codes).sum(1)
        assert (moved < 16).mean() > 0.9, name  # unrelated codes are 32 bits apart


def test_equal_seeds_make_equal_bytes_and_others_another_hash(images: np.ndarray) -> None:
    one, same, other = (hashed(images[:200], seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.weight, same.weight)
    assert torch.equal(one.bias, same.bias)
    assert not torch.equal(one.weight, other.weight)


FEW: list[Callable[[], np.ndarray]] = [
    lambda: scenes(1),
    lambda: scenes(5),
    lambda: np.zeros((20, 32, 32, 3), np.uint8),
    lambda: np.repeat(scenes(1), 50, axis=0),
]


@pytest.mark.parametrize("make", FEW, ids=["one", "five", "black", "all equal"])
def test_few_or_equal_images_make_a_hash_without_nan(make: Callable[[], np.ndarray]) -> None:
    squares = make()
    one = hashed(squares, bits=32)
    assert one.weight.isfinite().all()
    assert one.bias.isfinite().all()
    codes = one.codes(np.concatenate([squares, squares]))
    np.testing.assert_array_equal(codes[: len(squares)], codes[len(squares) :])
