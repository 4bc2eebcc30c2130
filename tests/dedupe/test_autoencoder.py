from typing import Any

import numpy as np
import pytest
import torch

from ganpipe.corpus.shards import Images
from ganpipe.dedupe.autoencoder import Autoencoder, fit
from ganpipe.dedupe.report import bit_entropies
from support.dedupe_settings import dedupe_params

CPU = torch.device("cpu")


def train(squares: np.ndarray, **changes: Any) -> tuple[Autoencoder, float]:
    return fit(dedupe_params(**changes), len(squares), lambda indices: squares[indices], CPU)


def contents(model: Autoencoder) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def differing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.bitwise_count(a ^ b).sum(-1)


@pytest.fixture(scope="module")
def digits(corpus: Images) -> np.ndarray:
    return corpus.pixels(np.arange(len(corpus)))


@pytest.fixture(scope="module")
def trained(digits: np.ndarray) -> tuple[Autoencoder, float]:
    return train(digits, steps=200, batch_size=64, learning_rate=0.003, dropout=0.1)


def test_equal_seeds_make_equal_bytes(digits: np.ndarray) -> None:
    first, second = train(digits, steps=5), train(digits, steps=5)
    assert contents(first[0]) == contents(second[0])
    assert first[1] == second[1]


def test_other_seeds_make_other_codes(digits: np.ndarray) -> None:
    first, second = (train(digits, steps=5, seed=seed)[0].projection().codes(digits) for seed in (0, 1))
    assert differing(first, second).mean() > 16  # of 64 bits; unrelated codes share half


def test_reconstructs_better_than_the_mean_image(digits: np.ndarray, trained: tuple[Autoencoder, float]) -> None:
    flat = digits.reshape(len(digits), -1) / 127.5 - 1
    of_the_mean = ((flat - flat.mean(0)) ** 2).mean()
    assert trained[1] < 0.8 * of_the_mean
    assert train(digits, steps=1)[1] > of_the_mean


def test_bits_tell_images_apart(digits: np.ndarray, trained: tuple[Autoencoder, float]) -> None:
    entropies = bit_entropies(trained[0].projection().codes(digits))
    assert entropies.mean() > 0.7
    assert (entropies > 0).all()


def test_codes_are_packed(digits: np.ndarray, trained: tuple[Autoencoder, float]) -> None:
    codes = trained[0].projection().codes(digits[:7])
    assert codes.shape == (7, 8)
    assert codes.dtype == np.uint8


def test_a_bit_is_set_where_its_unit_is_active(digits: np.ndarray, trained: tuple[Autoencoder, float]) -> None:
    state = {name: tensor.double().numpy() for name, tensor in trained[0].state_dict().items()}
    x = digits.reshape(len(digits), -1) / 127.5 - 1 - state["centre"]
    active = x @ state["encode.weight"].T + state["encode.bias"]
    clear = np.abs(active) > 1e-3  # nearer to 0, rounding may decide
    assert clear.mean() > 0.99
    bits = np.unpackbits(trained[0].projection().codes(digits), axis=1)
    assert (bits[clear] == (active[clear] > 0)).all()


def test_equal_images_get_equal_codes(digits: np.ndarray, trained: tuple[Autoencoder, float]) -> None:
    codes = trained[0].projection().codes(np.concatenate([digits[:50], digits[:50][::-1]]))
    assert (codes[:50] == codes[50:][::-1]).all()


def test_a_slightly_changed_image_is_nearer_than_another_one(
    digits: np.ndarray, trained: tuple[Autoencoder, float]
) -> None:
    noise = np.random.default_rng(0).integers(-8, 9, digits.shape)
    changed = (digits.astype(int) + noise).clip(0, 255).astype(np.uint8)
    codes, near = trained[0].projection().codes(digits), trained[0].projection().codes(changed)
    assert differing(codes, near).mean() < 0.25 * differing(codes, np.roll(codes, 1, axis=0)).mean()


def test_one_image_is_enough(digits: np.ndarray) -> None:
    model, error = train(digits[:1], steps=2)
    assert np.isfinite(error)
    assert model.projection().codes(digits[:1]).shape == (1, 8)
