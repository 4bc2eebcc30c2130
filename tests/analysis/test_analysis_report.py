from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganpipe.analysis import samples
from ganpipe.analysis.params import AnalyseParams
from ganpipe.analysis.report import Analysis, analyse, held_out, save
from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.settings import read_params
from ganpipe.training.loop import train
from ganpipe.training.results import save as save_training
from support.graph import ROOT
from support.settings import train_params

CPU = torch.device("cpu")
PARAMS = AnalyseParams.model_validate(
    {**read_params(ROOT / "params.yaml")["analyse"], "walks": 3, "stops": 5, "samples": 150, "filters": 2}
)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """All digits: the corpus has the first 200, the test images come after them."""
    folder = tmp_path_factory.mktemp("evaluation") / "digits"
    download_entry(find("digits"), folder)
    return Images(folder)


@pytest.fixture
def weights(corpus: Images) -> Path:
    params = train_params(steps=2)
    save_training(train(params, corpus, CPU), params, corpus, Path("gan"))
    return Path("gan")


def analysed(weights: Path, corpus: Images, labelled: Images | None, **changes: Any) -> Analysis:
    return analyse(PARAMS.model_copy(update=changes), weights, corpus, labelled, CPU)


def test_all_of_it_is_there_and_the_same_again(weights: Path, corpus: Images, labelled: Images) -> None:
    found, again = (analysed(weights, corpus, labelled) for _ in range(2))
    assert found.metrics == again.metrics
    assert set(found.pictures) == {"walks", "truncation", "neighbours", "filters_trained", "filters_untrained"}
    for name, picture in found.pictures.items():
        np.testing.assert_array_equal(picture, again.pictures[name])
    assert found.pictures["walks"].size == (5 * 65 + 1, 3 * 65 + 1)
    assert 1 <= found.metrics["walk_largest_step"] <= 4  # type: ignore[operator]
    assert found.metrics["held_out"] == "digits"
    save(found, Path("plots/analyse"))
    with Image.open("plots/analyse/walks.gif") as film:
        assert getattr(film, "n_frames") == 8  # noqa: B009 (five there, three back; only of a film)
    assert len(list(Path("plots/analyse").glob("*.png"))) == 5


def test_what_is_not_asked_for_is_not_made(weights: Path, corpus: Images) -> None:
    found = analysed(weights, corpus, None, walks=0, truncations=[], samples=0, filters=0)
    assert (found.metrics, found.pictures, found.film) == ({}, {}, [])
    found = analysed(weights, corpus, None, walks=0, truncations=[], filters=0)
    assert set(found.metrics) == {"nearest_median"}


def test_a_generator_that_copies_is_caught_and_one_that_does_not_is_not(
    weights: Path, corpus: Images, labelled: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    (others,) = labelled.squares(np.arange(400, 550), 32, "bilinear")
    for images, least, most in ((corpus.pixels(np.arange(150)), 0.99, 1.0), (others, 0.3, 0.7)):
        monkeypatch.setattr(samples, "drawn", lambda *_, images=images: images)
        figures = analysed(weights, corpus, labelled, walks=0, truncations=[], filters=0).metrics
        assert least <= figures["nearer_than_held_out"] <= most  # type: ignore[operator]
        assert figures["nearer_than_held_out_low"] <= figures["nearer_than_held_out"]  # type: ignore[operator]


def test_the_set_that_was_held_out_is_found(labelled: Images) -> None:
    folder = labelled.folder.parent
    assert held_out(None, folder) is None
    for name in ("auto", "digits"):
        found = held_out(name, folder)
        assert found is not None
        assert found.folder == labelled.folder
    with pytest.raises(UserError, match="analyse.held_out is cifar10, but evaluate.datasets has only digits"):
        held_out("cifar10", folder)
