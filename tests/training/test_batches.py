from typing import Any

import numpy as np
import pytest
import torch

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models.pixels import from_network
from ganpipe.training.augment import DRAWS
from ganpipe.training.batches import Batches, uniform
from support.settings import train_params

CPU = torch.device("cpu")
EVERYTHING: dict[str, Any] = {
    "augment": "diffaugment",
    "normalisation": "none",
    "gradient_penalty": 1.0,
    "rotation": 1.0,
}


def made(corpus: Images, size: int = 16, seed: int = 3, **changes: Any) -> Batches:
    return Batches(corpus, train_params(batch_size=size, seed=seed, **changes), CPU)


def test_an_epoch_shows_every_image_once_but_for_an_incomplete_batch(corpus: Images) -> None:
    batches = made(corpus)
    shown = np.concatenate([from_network(batches(step).real) for step in range(len(corpus) // 16)])
    assert len(np.unique(shown.reshape(len(shown), -1), axis=0)) == len(shown) == 192


def test_batches_are_functions_of_seed_and_step(corpus: Images) -> None:
    straight, random = made(corpus, **EVERYTHING), made(corpus, **EVERYTHING)
    expected = [straight(step) for step in range(30)]
    for step in (29, 0, 12, 11, 28):
        for one, other in zip(random(step), expected[step], strict=True):
            assert torch.equal(one, other)


def test_epochs_steps_and_seeds_have_draws_of_their_own(corpus: Images) -> None:
    batches = made(corpus, **EVERYTHING)
    one, later, other = batches(0), batches(batches.per_epoch), made(corpus, seed=4, **EVERYTHING)(0)
    for name in ("real", "z", "distort_real", "distort_fake", "mix"):
        assert not torch.equal(getattr(one, name), getattr(later, name))
        assert not torch.equal(getattr(one, name), getattr(other, name))
    assert not torch.equal(one.distort_real, one.distort_fake)


def test_only_what_is_asked_for_is_drawn(corpus: Images) -> None:
    plain, full = made(corpus)(0), made(corpus, **EVERYTHING)(0)
    assert [tensor.numel() for tensor in plain[2:]] == [0, 0, 0, 0]
    assert [tuple(tensor.shape) for tensor in full[2:]] == [(16, DRAWS), (16, DRAWS), (16,), (16,)]
    assert full.turns.bincount().tolist() == [4, 4, 4, 4]
    assert torch.equal(plain.z, full.z) and torch.equal(plain.real, full.real)


def test_processes_share_one_batch(corpus: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(corpus, **EVERYTHING)(5)
    monkeypatch.setenv("WORLD_SIZE", "2")
    parts = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        parts.append(made(corpus, **EVERYTHING)(5))
    for complete, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(complete, torch.cat([first, second]))


def test_a_batch_that_cannot_be_shared_is_refused(corpus: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="batch_size is 16, which 3 processes cannot share equally"):
        made(corpus)


def test_a_corpus_smaller_than_a_batch_is_refused(corpus: Images) -> None:
    with pytest.raises(UserError, match="batch_size is 256, but the corpus holds 200 images"):
        made(corpus, size=256)


def test_uniform_draws_are_seeded() -> None:
    u = uniform(500, 4, 7)
    assert torch.equal(u, uniform(500, 4, 7)) and not torch.equal(u, uniform(500, 4, 8))
    assert 0 <= u.min() < 0.01 and 0.99 < u.max() < 1


def test_a_corpus_of_exactly_one_batch_is_enough(corpus: Images) -> None:
    assert Batches(corpus, train_params(batch_size=len(corpus)), CPU).per_epoch == 1
