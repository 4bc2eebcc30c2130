import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ganpipe import files
from ganpipe.analysis.of_numbers import kolmogorov_smirnov, moments
from ganpipe.analysis.params import NumbersParams
from ganpipe.analysis.report import analyse
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.histogram import histogram
from ganpipe.models.draws import noise
from ganpipe.models.mlp import PerceptronGenerator
from ganpipe.models.networks import GENERATOR
from ganpipe.models.store import load, load_config
from ganpipe.runtime import mix_seed
from ganpipe.training.loop import train
from ganpipe.training.results import save
from support.settings import study_params

CPU = torch.device("cpu")
PARAMS = NumbersParams(kind="numbers", samples=5000, average=True, seed=0)


@pytest.fixture(scope="module")
def weights(numbers: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gan")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        params = study_params("gaussian", steps=2)
        save(train(params, numbers, CPU), params, numbers, folder / "gan")
    return folder / "gan"


def test_moments_are_those_of_known_distributions() -> None:
    source = np.random.default_rng(0)
    normal, exponential = source.normal(3, 2, 400_000), source.exponential(1, 400_000)
    assert moments(normal) == pytest.approx({"mean": 3, "deviation": 2, "skewness": 0, "kurtosis": 0}, abs=0.03)
    assert moments(exponential) == pytest.approx({"mean": 1, "deviation": 1, "skewness": 2, "kurtosis": 6}, abs=0.4)


def test_the_distance_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    numbers = np.random.default_rng(1).normal(4.2, 1.1, 500)
    expected = stats.kstest(numbers, "norm", args=(4, 1.25)).statistic
    assert kolmogorov_smirnov(numbers, 4, 1.25) == pytest.approx(float(expected))
    assert kolmogorov_smirnov(np.full(10, 4.0), 4, 1.25) == pytest.approx(0.5)
    assert kolmogorov_smirnov(np.full(10, math.inf), 4, 1.25) == 1


def test_the_averaged_generator_is_measured_against_the_corpus_own_distribution(weights: Path, numbers: Images) -> None:
    found = analyse(PARAMS, weights, numbers, Path("none"), CPU)
    assert (found.metrics["mean_wanted"], found.metrics["deviation_wanted"]) == (4.0, 1.25)
    assert set(found.pictures) == {"histogram"}
    again = analyse(PARAMS, weights, numbers, Path("none"), CPU)
    assert again.metrics == found.metrics
    plain = PARAMS.model_copy(update={"average": False})
    assert analyse(plain, weights, numbers, Path("none"), CPU).metrics["ks"] != found.metrics["ks"]


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_numbers_are_made_of_noise_as_in_training(distribution: str, weights: Path, numbers: Images) -> None:
    shutil.copytree(weights, "gan")
    config = load_config(weights)
    files.write_json(Path("gan/config.json"), {**config, "train": {**config["train"], "noise": distribution}})
    found = analyse(PARAMS.model_copy(update={"seed": 7}), Path("gan"), numbers, Path("none"), CPU)
    generator = load(weights, GENERATOR, CPU, average=True)
    assert isinstance(generator, PerceptronGenerator)
    with torch.no_grad():
        made = generator(noise(5000, generator.latent, distribution, mix_seed(7))).double().flatten().numpy()
    assert found.metrics["mean"] == pytest.approx(made.mean())
    picture = histogram(made, numbers.pixels(numbers.rows("train")).flatten())
    np.testing.assert_array_equal(found.pictures["histogram"], picture)


def test_images_are_no_numbers(weights: Path, corpus: Images) -> None:
    with pytest.raises(UserError, match="holds no draws of a known distribution"):
        analyse(PARAMS, weights, corpus, Path("none"), CPU)
