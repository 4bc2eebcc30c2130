import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganpipe.analysis import neighbours, of_images
from ganpipe.analysis.found import Analysis
from ganpipe.analysis.of_images import held_out
from ganpipe.analysis.params import AnalyseParams
from ganpipe.analysis.report import analyse
from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.settings import read_params
from ganpipe.training.loop import train
from ganpipe.training.results import save as save_training
from support.graph import ROOT
from support.settings import digits_corpus, train_params

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
    evaluation = Path("nowhere") if labelled is None else labelled.folder.parent
    return analyse(PARAMS.model_copy(update=changes), weights, corpus, evaluation, CPU)


def test_all_of_it_is_there_and_the_same_again(weights: Path, corpus: Images, labelled: Images) -> None:
    found, again = (analysed(weights, corpus, labelled) for _ in range(2))
    assert found.metrics == again.metrics
    assert set(found.pictures) == {"walks", "truncation", "neighbours", "filters_trained", "filters_untrained"}
    for name, picture in found.pictures.items():
        np.testing.assert_array_equal(picture, again.pictures[name])
    assert found.pictures["walks"].size == (5 * 65 + 1, 3 * 65 + 1)
    assert 1 <= found.metrics["walk_largest_step"] <= 4  # type: ignore[operator]
    assert found.metrics["held_out"] == "digits"
    found.save(Path("plots/analyse"))
    with Image.open("plots/analyse/walks.gif") as film:
        assert getattr(film, "n_frames") == 8  # noqa: B009 (five there, three back; only of a film)
    assert len(list(Path("plots/analyse").glob("*.png"))) == 5


def test_what_is_not_asked_for_is_not_made(weights: Path, corpus: Images) -> None:
    found = analysed(weights, corpus, None, walks=0, truncations=[], samples=0, filters=0)
    assert (found.metrics, found.pictures, found.film) == ({}, {}, [])
    found = analysed(weights, corpus, None, walks=0, truncations=[], filters=0)
    assert set(found.metrics) == {"nearest_median"}


def test_of_fewer_images_than_are_shown_each_filter_has_a_row_of_its_own(tmp_path: Path) -> None:
    few, params = digits_corpus(tmp_path, 3), train_params(steps=1, batch_size=2)
    save_training(train(params, few, CPU), params, few, Path("gan"))
    found = analysed(Path("gan"), few, None, walks=0, truncations=[], samples=0)
    assert found.pictures["filters_trained"].size == (2 * 3 * 65 + 1, PARAMS.filters * 65 + 1)


def test_a_generator_that_copies_is_caught_and_one_that_does_not_is_not(
    weights: Path, corpus: Images, labelled: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    (others,) = labelled.squares(np.arange(400, 550), 32, "bilinear")
    for images, least, most in ((corpus.pixels(np.arange(150)), 0.99, 1.0), (others, 0.3, 0.7)):
        monkeypatch.setattr(of_images, "drawn", lambda *_, images=images: images)
        figures = analysed(weights, corpus, labelled, walks=0, truncations=[], filters=0).metrics
        assert least <= figures["nearer_than_held_out"] <= most  # type: ignore[operator]
        assert figures["nearer_than_held_out_low"] <= figures["nearer_than_held_out"]  # type: ignore[operator]


class Held:
    """The most results of some functions that were alive at once."""

    def __init__(self) -> None:
        self.most = 0
        self._results: list[weakref.ref[Any]] = []

    def counting(self, function: Any) -> Any:
        """The function, its results counted."""

        def called(*given: Any) -> Any:
            result = function(*given)
            self._results.append(weakref.ref(result))
            self.most = max(self.most, sum(each() is not None for each in self._results))
            return result

        return called


def test_memory_does_not_grow_with_the_generators_that_were_kept(
    corpus: Images, labelled: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, most = train_params(steps=6, keep_every=1), []
    save_training(train(params, corpus, CPU), params, corpus, Path("gan"))
    for kept in (5, 2):
        for folder in sorted(Path("gan/kept").iterdir())[kept:]:
            shutil.rmtree(folder)
        held = Held()
        with monkeypatch.context() as patch:
            for module, name in ((of_images, "drawn"), (of_images, "load_generator"), (neighbours, "extract")):
                patch.setattr(module, name, held.counting(getattr(module, name)))
            patch.setattr(neighbours, "DRAWS", 10)
            found = analysed(
                Path("gan"), corpus, labelled, walks=0, truncations=[], filters=0, samples=20, by_step=True
            )
        assert len(found.tables["by_step"].splitlines()) == 1 + kept + 1
        most.append(held.most)
    assert most[0] == most[1]


def test_the_set_that_was_held_out_is_found(labelled: Images, corpus: Images, tmp_path: Path) -> None:
    def of(name: str | None, corpus: Images = corpus) -> tuple[str, np.ndarray] | None:
        params = PARAMS.model_copy(update={"held_out": name, "samples": 10})
        return held_out(params, corpus, labelled.folder.parent, 32, {"corpus": {"resize": "bilinear"}})

    assert of(None) is None
    for name in ("auto", "digits"):
        found = of(name)
        assert found is not None
        assert (found[0], found[1].shape) == ("digits", (10, 32, 32, 3))
    with pytest.raises(UserError, match="analyse.held_out is cifar10, but evaluate.datasets has only digits"):
        of("cifar10")
    kept = digits_corpus(tmp_path, 20, held_out=4)
    found = of("auto", kept)
    assert found is not None
    assert found[0] == "held_out"
    np.testing.assert_array_equal(np.unique(found[1], axis=0), np.unique(kept.pixels(kept.rows("held_out")), axis=0))
