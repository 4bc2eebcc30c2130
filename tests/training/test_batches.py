import numpy as np
import pytest
import torch

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models.pixels import from_network
from ganpipe.training.batches import RealBatches, noise

CPU = torch.device("cpu")


def test_an_epoch_shows_every_image_once_but_for_an_incomplete_batch(corpus: Images) -> None:
    real = RealBatches(corpus, 16, seed=3, device=CPU)
    shown = np.concatenate([from_network(real(step)) for step in range(len(corpus) // 16)])
    assert len(np.unique(shown.reshape(len(shown), -1), axis=0)) == len(shown) == 192


def test_batches_are_functions_of_seed_and_step(corpus: Images) -> None:
    straight, random = RealBatches(corpus, 16, 3, CPU), RealBatches(corpus, 16, 3, CPU)
    expected = [straight(step) for step in range(30)]
    for step in (29, 0, 12, 11, 28):
        assert torch.equal(random(step), expected[step])


def test_epochs_and_seeds_have_orders_of_their_own(corpus: Images) -> None:
    real = RealBatches(corpus, 16, 3, CPU)
    assert not torch.equal(real(0), real(real.per_epoch))
    assert not torch.equal(real(0), RealBatches(corpus, 16, 4, CPU)(0))


def test_a_corpus_smaller_than_a_batch_is_refused(corpus: Images) -> None:
    with pytest.raises(UserError, match="batch_size is 256, but the corpus holds 200 images"):
        RealBatches(corpus, 256, 0, CPU)


def test_noise_is_uniform_and_seeded() -> None:
    z = noise(500, 40, CPU, 7, 1)
    assert torch.equal(z, noise(500, 40, CPU, 7, 1))
    assert not torch.equal(z, noise(500, 40, CPU, 7, 2))
    assert -1 <= z.min() < -0.99 and 0.99 < z.max() <= 1
    assert abs(z.mean()) < 0.02 and abs(z.var() - 1 / 3) < 0.01
