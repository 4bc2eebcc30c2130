"""Pairs: what is cropped together stays together, and each player's loss is the one that the paper writes."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ganpipe.corpus.shards import Images, write_pixels
from ganpipe.errors import UserError
from ganpipe.models.networks import make
from ganpipe.models.norm import freeze_statistics
from ganpipe.models.pixels import from_network, pair, to_network
from ganpipe.models.store import load, load_translator
from ganpipe.models.unet import translate
from ganpipe.runtime import mix_seed
from ganpipe.training.batches import DROPOUT
from ganpipe.training.loop import Trained, train
from ganpipe.training.params import Training, TranslateParams
from ganpipe.training.results import save
from ganpipe.training.translation import PairBatches, Translation, TranslationStep, _crop, build
from support.settings import translate_params

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Seven pairs: B is A's negative, and every pixel of A says where it is."""
    folder = tmp_path_factory.mktemp("pairs")
    row, column = np.mgrid[:128, :128]
    first = np.stack([np.stack([row, column, np.full_like(row, 20 * number)], -1) for number in range(7)])
    both = np.concatenate([first, 255 - first], axis=3).astype(np.uint8)
    about = {"name": "pairs", "title": "Pairs", "licence": "none", "splits": {"train": [0, 5], "val": [5, 7]}}
    write_pixels(folder, [both], 7, None, about)
    return Images(folder)


def batches(pairs: Images, **changes: Any) -> PairBatches:
    return PairBatches(pairs, translate_params(**changes), 128, CPU)


def made(**changes: Any) -> TranslationStep:
    params = translate_params(**changes)
    return TranslationStep(params, *build(params, CPU), torch.float32)


def test_settings_are_of_the_networks_kind() -> None:
    assert isinstance(translate_params(), TranslateParams)
    assert Training.variant({"network": "pix2pix256"}) is TranslateParams
    with pytest.raises(ValueError, match="enlarged is 100, but pix2pix128 takes 128"):
        translate_params(enlarged=100)
    with pytest.raises(ValueError, match="nothing to learn"):
        translate_params(gan=0, l1=0)


def test_a_pair_is_cropped_and_mirrored_as_one(pairs: Images) -> None:
    given, wanted = batches(pairs, enlarged=143)(3)
    torch.testing.assert_close(given, -wanted, atol=1e-4, rtol=0)  # B to A: the negative of what was given
    assert given.shape == (2, 3, 128, 128)
    there, back = batches(pairs, enlarged=143, direction="AtoB")(3)
    assert torch.equal(there, wanted) and torch.equal(back, given)


def test_without_jitter_pairs_come_as_they_are_held(pairs: Images) -> None:
    reader = batches(pairs, enlarged=128, flip=False)
    for step in range(4):
        given, _ = reader(step)
        held = torch.from_numpy(pairs.pixels(reader.rows_of(step))[..., 3:]).permute(0, 3, 1, 2) / 127.5 - 1
        torch.testing.assert_close(given, held.float())


def test_half_of_them_are_mirrored_and_crops_lie_everywhere(pairs: Images) -> None:
    reader = batches(pairs, enlarged=143, direction="AtoB")
    given = torch.cat([reader(step).given for step in range(60)])
    rising = given[:, 1, 64, 100] > given[:, 1, 64, 20]  # the second channel grows to the right
    assert 35 < int(rising.sum()) < 85
    assert len(set(given[:, 0, 0, 0].tolist())) > 10  # where the crop began, down
    only = batches(pairs, enlarged=143, direction="AtoB", flip=False)
    assert all((only(step).given[:, 1, 64, 100] > only(step).given[:, 1, 64, 20]).all() for step in range(10))


@pytest.mark.parametrize(("draws", "top", "left"), [((0, 0), 0, 0), ((0.99, 0.1), 15, 1), ((0.1, 0.99), 1, 15)])
def test_a_crop_may_lie_at_every_edge(draws: tuple[float, float], top: int, left: int) -> None:
    one = torch.arange(143 * 143).view(1, 143, 143)
    cropped = _crop(one, [*draws, 0.9], 128, flip=True)
    assert torch.equal(cropped, one[:, top : top + 128, left : left + 128])


def test_batches_are_functions_of_seed_and_step(pairs: Images) -> None:
    one, other = batches(pairs), batches(pairs)
    expected = [one(step) for step in range(6)]
    for step in (5, 0, 3):
        assert all(map(torch.equal, other(step), expected[step]))
    assert not torch.equal(batches(pairs, seed=9)(0).given, expected[0].given)


def test_only_training_pairs_are_shown(pairs: Images) -> None:
    reader = batches(pairs)
    assert {row for step in range(20) for row in reader.rows_of(step)} == {0, 1, 2, 3, 4}


def test_both_losses_are_the_papers(pairs: Images) -> None:
    update, batch = made(updates="simultaneous", gan=2, l1=50), batches(pairs)(0)
    g, d = copy.deepcopy((update.generator, update.discriminator))
    g.dropout = update.generator.dropout = False
    seen = update(0, batch)
    fake = g(batch.given)
    loss_d = (F.softplus(-d(batch.given, batch.wanted)).mean() + F.softplus(d(batch.given, fake)).mean()) / 2
    torch.testing.assert_close(seen["loss_d"], loss_d.detach())
    away = (fake - batch.wanted).abs().mean()
    torch.testing.assert_close(seen["loss_l1"], away.detach())
    # G meets the D of after its update.
    loss_g = F.softplus(-update.discriminator(batch.given, fake)).mean()
    torch.testing.assert_close(seen["loss_g"], loss_g.detach())
    total = 2 * loss_g + 50 * away
    norm = torch.nn.utils.get_total_norm(torch.autograd.grad(total, list(g.parameters())))
    torch.testing.assert_close(seen["gradient_g"], norm)


def test_what_is_shown_is_of_pairs_that_are_held_out(pairs: Images) -> None:
    params = translate_params()
    game = Translation(params, pairs, CPU, torch.float32)
    given, wanted = pair(to_network(torch.from_numpy(pairs.pixels(pairs.rows("val")))), "BtoA")
    drawn = game.draw()
    assert torch.equal(drawn, translate(game.generator, given, "image", True, mix_seed(params.seed, DROPOUT)))
    tiles = np.asarray(game.picture(drawn))[1:129, 1:].reshape(128, 6, 129, 3)[:, :, :128].swapaxes(0, 1)
    expected = [from_network(images) for images in (given, drawn, wanted)]
    np.testing.assert_array_equal(tiles, np.stack(expected, axis=1).reshape(6, 128, 128, 3))
    assert game.vitals(wanted + 0.5) == {"l1_shown": pytest.approx(0.25)}  # of a range of 2


def test_statistics_are_of_the_training_pairs_without_dropout(pairs: Images) -> None:
    game = Translation(translate_params(), pairs, CPU, torch.float32)
    g, d = copy.deepcopy((game.generator, game.update.discriminator))
    game.freeze(game.update.networks)
    given, wanted = pair(to_network(torch.from_numpy(pairs.pixels(pairs.rows("train")))), "BtoA")
    g.dropout = False
    freeze_statistics(g, torch.split(given, 2))
    freeze_statistics(d, zip(torch.split(given, 2), torch.split(wanted, 2), strict=True))
    for mine, theirs in ((game.generator, g), (game.update.discriminator, d)):
        for name, tensor in mine.state_dict().items():
            torch.testing.assert_close(tensor, theirs.state_dict()[name])


def fingerprint(trained: Trained) -> tuple[object, ...]:
    tensors = [
        value.numpy().tobytes() for network in trained.networks.values() for value in network.state_dict().values()
    ]
    return tensors, trained.curves, {step: path.read_bytes() for step, path in trained.samples.items()}


def test_a_longer_training_continues_a_shorter_one_to_the_same_bits(
    pairs: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is dropped follows from the step, too."""
    straight = fingerprint(train(translate_params(steps=6), pairs, CPU))
    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    train(translate_params(steps=3), pairs, CPU)
    assert fingerprint(train(translate_params(steps=6), pairs, CPU)) == straight


def test_it_learns_and_is_saved_with_its_statistics(pairs: Images) -> None:
    params = translate_params(steps=60, width=4, learning_rate=2e-3, l1=100, tick=10)
    trained = train(params, pairs, CPU)
    assert trained.curves[-1]["loss_l1"] < 0.6 * trained.curves[0]["loss_l1"]
    assert trained.curves[-1]["l1_shown"] < trained.curves[0]["l1_shown"]
    save(trained, params, pairs, Path("gan"))
    network = load_translator(Path("gan"), CPU)
    for name, value in trained.networks["generator"].state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    assert type(load(Path("gan"), "discriminator", CPU)) is type(
        make("discriminator", {"architecture": "patch", "width": 4})
    )


def test_a_corpus_that_does_not_fit_is_refused(corpus: Images, pairs: Images) -> None:
    with pytest.raises(UserError, match="takes pairs of 128x128 pixels, not 32x32x3: set preprocess.crop to pairs"):
        Translation(translate_params(), corpus, CPU, torch.float32)
    with pytest.raises(UserError, match="but the corpus holds 5 images"):
        batches(pairs, batch_size=6)
