"""Noise to samples of other kinds than colour images: numbers, and grey images of fully connected networks."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.histogram import histogram
from ganpipe.models.draws import noise
from ganpipe.models.norm import freeze_statistics
from ganpipe.models.pixels import to_network
from ganpipe.models.store import load, load_discriminator, load_generator, load_translator
from ganpipe.training import sampling
from ganpipe.training.batches import FREEZING, Batches
from ganpipe.training.loop import Trained, train
from ganpipe.training.params import TrainParams
from ganpipe.training.results import save
from ganpipe.training.sampling import Sampling, SamplingStep, build
from support.settings import digits_corpus, study_params, train_params

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return digits_corpus(tmp_path_factory.mktemp("grey"), 60, side=28, grey=True)


def fingerprint(trained: Trained) -> tuple[object, ...]:
    tensors = [
        value.numpy().tobytes() for network in trained.networks.values() for value in network.state_dict().values()
    ]
    return tensors, trained.curves, {step: path.read_bytes() for step, path in trained.samples.items()}


def test_numbers_approach_the_distribution(numbers: Images) -> None:
    trained = train(study_params("gaussian", steps=600, tick=100, schedule="constant"), numbers, CPU)
    assert abs(trained.curves[-1]["sample_mean"] - 4) < 0.5
    assert 0.7 < trained.curves[-1]["sample_deviation"] < 2


def test_numbers_are_saved_and_drawn_again(numbers: Images) -> None:
    params = study_params("gaussian", steps=2)
    trained = train(params, numbers, CPU)
    save(trained, params, numbers, Path("gan"))
    z = torch.rand(5, params.latent)
    averaged = load(Path("gan"), "generator", CPU, average=True)
    assert torch.equal(averaged(z), trained.networks["generator_average"](z))
    with pytest.raises(UserError, match="a generator that makes no images from noise: its network is mlp1"):
        load_generator(Path("gan"), CPU)
    with pytest.raises(
        UserError, match="a discriminator without convolutional features of images: its network is mlp1"
    ):
        load_discriminator(Path("gan"), CPU)
    with pytest.raises(UserError, match="a generator that translates no images: its network is mlp1"):
        load_translator(Path("gan"), CPU)


@pytest.mark.parametrize("study", ["gaussian", "mnist-zero"])
def test_a_longer_training_continues_a_shorter_one_to_the_same_bits(
    study: str, numbers: Images, grey: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is dropped follows from the step, too."""
    images = {"gaussian": numbers, "mnist-zero": grey}[study]

    def params(steps: int) -> TrainParams:
        return study_params(study, steps=steps, tick=4, sample_every=5, schedule="constant", width=8)

    straight = fingerprint(train(params(12), images, CPU))
    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    train(params(6), images, CPU)
    assert fingerprint(train(params(12), images, CPU)) == straight


def test_samples_are_drawn_without_dropout_and_it_goes_on_afterwards(grey: Images) -> None:
    game = Sampling(study_params("mnist-zero"), grey, CPU, torch.float32)
    assert torch.equal(game.draw(), game.draw())
    assert game.generator.training
    assert game.picture(game.draw()).mode == "RGB"


def test_what_does_not_fit_is_told(numbers: Images, grey: Images, corpus: Images) -> None:
    for study, images, said in (
        ("mnist-zero", corpus, "takes 28x28 images, not 32x32: set preprocess.side to 28"),
        ("gaussian", corpus, "holds images of shape .*, which mlp1 does not take"),
        ("mnist-zero", numbers, "holds numbers of shape .*, which mlp28 does not take"),
    ):
        with pytest.raises(UserError, match=said):
            Sampling(study_params(study), images, CPU, torch.float32)
    colour = digits_corpus(Path("colour"), 20, side=28)
    with pytest.raises(UserError, match="mlp28 takes images of 1 channels, not 3: set preprocess.grey to true"):
        Sampling(study_params("mnist-zero"), colour, CPU, torch.float32)


def test_numbers_are_told_by_their_moments_and_drawn_as_bars(numbers: Images) -> None:
    game = Sampling(study_params("gaussian"), numbers, CPU, torch.float32)
    drawn = torch.tensor([[1.0], [3.0], [8.0]])
    assert game.vitals(drawn) == pytest.approx({"sample_mean": 4, "sample_deviation": 13**0.5})
    real = numbers.pixels(numbers.rows("train")[:4096]).flatten()
    np.testing.assert_array_equal(game.picture(drawn), histogram(drawn.flatten().numpy(), real))


def test_images_are_told_by_their_distance_against_real_ones(grey: Images) -> None:
    game = Sampling(study_params("mnist-zero"), grey, CPU, torch.float32)
    assert game.vitals(game.real)["sample_distance"] == pytest.approx(1)
    assert game.vitals(game.real / 2)["sample_distance"] == pytest.approx(0.5)


def test_statistics_are_of_noise_and_of_the_training_images_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "GENERATOR_BATCHES", 3)  # fewer are enough to tell
    images, params = digits_corpus(tmp_path, 60, held_out=20), train_params()
    game = Sampling(params, images, CPU, torch.float32)
    g, d = copy.deepcopy((game.generator, game.update.discriminator))
    game.freeze(game.update.networks)
    freeze_statistics(g, (noise(128, 8, "uniform", params.seed, FREEZING, number) for number in range(3)))
    freeze_statistics(d, [to_network(torch.from_numpy(images.pixels(np.arange(40))))])
    for mine, theirs in ((game.generator, g), (game.update.discriminator, d)):
        for name, tensor in mine.state_dict().items():
            torch.testing.assert_close(tensor, theirs.state_dict()[name])


def test_each_player_has_its_own_width() -> None:
    generator, discriminator = build(train_params(width=2, generator_width=3), CPU)
    assert (generator.width, discriminator.width) == (3, 2)


def test_each_step_and_each_process_drops_others(grey: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    params = study_params("mnist-zero", schedule="constant")
    batch = Batches(grey, params, CPU)(0)

    def loss(step: int) -> float:
        return float(SamplingStep(params, *build(params, CPU), torch.float32)(step, batch)["loss_g"])

    found = [loss(0), loss(2)]
    assert loss(0) == found[0]
    monkeypatch.setattr("ganpipe.training.step.world", lambda: (1, 2))
    assert len({*found, loss(0)}) == 3


def test_held_out_images_are_never_shown(tmp_path: Path) -> None:
    images = digits_corpus(tmp_path, 40, side=28, grey=True, held_out=10)
    game = Sampling(study_params("mnist-zero"), images, CPU, torch.float32)
    assert {row for step in range(60) for row in game.batches.rows_of(step).tolist()} == set(range(30))
    np.testing.assert_array_equal(images.rows("held_out"), np.arange(30, 40))


def test_a_fully_connected_network_takes_no_image_tricks() -> None:
    with pytest.raises(ValueError, match="mlp28 is fully connected: set normalisation and augment to none"):
        study_params("mnist-zero", augment="diffaugment")
