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
    """Of levels B is the level, 40 apart in training, and A half as much again, in negative; two are held out."""
    folder = tmp_path_factory.mktemp("pairs")
    levels = np.array([0, 40, 80, 120, 160, 44, 76])  # these two are near the second and the third
    both = np.stack([255 - levels * 3 // 2, levels], axis=1).repeat(3, axis=1)
    images = np.broadcast_to(both[:, None, None, :], (7, 128, 128, 6)).astype(np.uint8)
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
    assert found.metrics["l1_nearest"] == pytest.approx(6 / 255, abs=1e-5)
    assert found.metrics["l1_mean"] == pytest.approx((54 + 6) / 2 / 255, abs=1e-4)
    assert found.metrics["pairs"] == 2
    assert found.pictures["pairs"].size == (6 * 129 + 1, 129 + 1)


def test_a_perfect_translator_is_perfect(weights: Path, pairs: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_pairs, "translate", lambda network, given, *how: -0.5 - 1.5 * given)  # from B to A
    found = analysed(weights, pairs)
    for name in ("l1", "l1_low", "l1_high"):
        assert found.metrics[name] == pytest.approx(0, abs=1e-6)
    assert found.metrics["ssim"] == pytest.approx(1)


def test_intervals_and_the_picture_are_of_what_was_made(
    weights: Path, pairs: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_pairs, "translate", lambda network, given, *how: torch.zeros_like(given))
    found = analysed(weights, pairs)
    away = np.array([189, 141]) / 255 - 0.5
    spread = 1.96 * away.std(ddof=1) / np.sqrt(2)
    expected = [away.mean() - spread, away.mean(), away.mean() + spread]
    assert [found.metrics[name] for name in ("l1_low", "l1", "l1_high")] == pytest.approx(expected, abs=1e-5)
    # Of each pair, beside each other: given, made and wanted.
    assert np.asarray(found.pictures["pairs"])[64, 64::129, 0].tolist() == [44, 128, 189, 76, 128, 141]


def test_all_switches_reach_the_network(weights: Path, pairs: Images) -> None:
    plain = analysed(weights, pairs)
    assert analysed(weights, pairs).metrics == plain.metrics
    assert analysed(weights, pairs, statistics="frozen").metrics["l1"] != plain.metrics["l1"]
    dropped = analysed(weights, pairs, dropout=True).metrics["l1"]
    assert dropped != plain.metrics["l1"]
    assert analysed(weights, pairs, dropout=True, seed=1).metrics["l1"] != dropped
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
