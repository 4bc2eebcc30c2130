"""What is measured of a translator: its own images against the wanted ones, beside two that learn nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganpipe.analysis import of_pairs
from ganpipe.analysis.found import Analysis
from ganpipe.analysis.params import PairsParams
from ganpipe.analysis.report import analyse
from ganpipe.corpus.shards import Images, write_pixels
from ganpipe.errors import UserError
from ganpipe.training.loop import train
from ganpipe.training.results import save
from support import tiny
from support.settings import translate_params

CPU = torch.device("cpu")
PARAMS = PairsParams(kind="pairs", split="val", statistics="image", dropout=False, shown=3, average=False, seed=0)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """B is a level, A the same one, 40 apart in training; two are held out, near the second and the third."""
    folder = tmp_path_factory.mktemp("pairs")
    levels = np.array([0, 40, 80, 120, 160, 44, 76])
    images = np.broadcast_to(levels[:, None, None, None], (7, 128, 128, 6)).astype(np.uint8)
    about = {"name": "levels", "title": "Levels", "licence": "none", "splits": {"train": [0, 5], "val": [5, 7]}}
    write_pixels(folder, [images], 7, None, about)
    return Images(folder)


@pytest.fixture(scope="module")
def weights(pairs: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gan")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        params = translate_params(steps=2, average=0.999)
        save(train(params, pairs, CPU), params, pairs, folder / "gan")
    return folder / "gan"


def analysed(weights: Path, pairs: Images, **changes: Any) -> Analysis:
    return analyse(PARAMS.model_copy(update=changes), weights, pairs, Path("none"), CPU)


def test_the_baselines_are_what_their_names_say(weights: Path, pairs: Images) -> None:
    found = analysed(weights, pairs)
    assert found.metrics["l1_nearest"] == pytest.approx(4 / 255, abs=1e-5)
    assert found.metrics["l1_mean"] == pytest.approx((36 + 4) / 2 / 255, abs=1e-4)
    assert found.metrics["pairs"] == 2
    assert found.pictures["pairs"].size == (6 * 129 + 1, 129 + 1)


def test_a_perfect_translator_is_perfect(weights: Path, pairs: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_pairs, "translate", lambda network, given, *how: given)  # A and B are the same here
    found = analysed(weights, pairs)
    assert found.metrics["l1"] == found.metrics["l1_low"] == found.metrics["l1_high"] == 0
    assert found.metrics["ssim"] == pytest.approx(1)


def test_all_switches_reach_the_network(weights: Path, pairs: Images) -> None:
    plain = analysed(weights, pairs)
    assert analysed(weights, pairs).metrics == plain.metrics
    assert analysed(weights, pairs, statistics="frozen").metrics["l1"] != plain.metrics["l1"]
    assert analysed(weights, pairs, dropout=True).metrics["l1"] != plain.metrics["l1"]
    assert analysed(weights, pairs, average=True).metrics["l1"] != plain.metrics["l1"]


def test_a_generator_that_translates_nothing_is_refused(pairs: Images) -> None:
    folder = tiny.generator(Path("gan"))
    with pytest.raises(UserError, match="gan holds a generator that translates no images: its network is dcgan32"):
        analysed(folder, pairs)


def test_pairs_that_were_trained_on_are_not_measured(weights: Path, pairs: Images) -> None:
    with pytest.raises(UserError, match="analyse.split is train, whose pairs the generator has seen"):
        analysed(weights, pairs, split="train")
    with pytest.raises(UserError, match="has no split test; it has train, val"):
        analysed(weights, pairs, split="test")
