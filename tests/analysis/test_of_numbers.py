import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ganpipe.analysis.of_numbers import kolmogorov_smirnov, moments
from ganpipe.analysis.params import NumbersParams
from ganpipe.analysis.report import analyse
from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.training.loop import train
from ganpipe.training.results import save
from support.settings import study_params

CPU = torch.device("cpu")
PARAMS = NumbersParams(kind="numbers", samples=5000, average=True, seed=0)


@pytest.fixture
def weights() -> Path:
    download_entry(find("gaussian"), Path("raw"))
    params = study_params("gaussian", steps=2)
    save(train(params, Images(Path("raw")), CPU), params, Images(Path("raw")), Path("gan"))
    return Path("gan")


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


def test_the_averaged_generator_is_measured_against_the_corpus_own_distribution(weights: Path) -> None:
    found = analyse(PARAMS, weights, Images(Path("raw")), Path("none"), CPU)
    assert (found.metrics["mean_wanted"], found.metrics["deviation_wanted"]) == (4.0, 1.25)
    assert set(found.pictures) == {"histogram"}
    again = analyse(PARAMS, weights, Images(Path("raw")), Path("none"), CPU)
    assert again.metrics == found.metrics
    plain = PARAMS.model_copy(update={"average": False})
    assert analyse(plain, weights, Images(Path("raw")), Path("none"), CPU).metrics["ks"] != found.metrics["ks"]


def test_images_are_no_numbers(weights: Path, corpus: Images) -> None:
    with pytest.raises(UserError, match="holds no draws of a known distribution"):
        analyse(PARAMS, weights, corpus, Path("none"), CPU)
