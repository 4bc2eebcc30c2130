import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.pictures import confusion, save_pictures
from ganpipe.evaluation.report import Evaluation, evaluate
from ganpipe.models.dcgan import Discriminator, initialise
from ganpipe.models.pixels import freeze_on
from ganpipe.settings import read_params
from support.graph import ROOT

TRAINED_ON = {"name": "digits", "resize": "bilinear"}
CPU, WIDTH, TEST_IMAGES = torch.device("cpu"), 4, 360
PARAMS = EvaluateParams.model_validate(
    {
        **read_params(ROOT / "params.yaml")["evaluate"],
        "datasets": ["digits"],
        "C": [1e-3, 1e-2],
        "tolerance": 1e-2,
    }
)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder = tmp_path_factory.mktemp("labelled") / "digits"
    download_entry(find("digits"), folder)
    return Images(folder)


@pytest.fixture(scope="module")
def evaluation(labelled: Images, corpus: Images) -> Evaluation:
    """Of an untrained discriminator of another seed than the control's: nothing here takes long to make."""
    network = Discriminator(WIDTH)
    initialise(network, torch.Generator().manual_seed(99))
    freeze_on(network, len(corpus), corpus.pixels, CPU)
    return evaluate(PARAMS, network, {"name": "digits", "resize": "bilinear"}, corpus, labelled, CPU)


def test_metrics_are_sensible(evaluation: Evaluation) -> None:
    metrics = evaluation.metrics
    assert metrics["accuracy_pixels"] > 0.8
    assert 0.8 < metrics["accuracy"] < 1
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    assert metrics["accuracy_train"] >= metrics["accuracy"]
    assert (metrics["train_images"], metrics["test_images"]) == (1437, TEST_IMAGES)
    assert metrics["features"] == 16 * 14 * WIDTH
    assert all(metrics[name] > 0 for name in ("C", "C_pixels", "C_random_init"))
    assert metrics["trained_on_this_set"] is True


def test_a_discriminator_of_another_corpus_has_not_seen_the_set(labelled: Images, corpus: Images) -> None:
    network = Discriminator(WIDTH)
    initialise(network, torch.Generator().manual_seed(99))
    freeze_on(network, len(corpus), corpus.pixels, CPU)
    # The pipeline's own corpus is of digits, but these weights are said to be of photographs.
    found = evaluate(PARAMS, network, {"name": "photographs", "resize": "antialias"}, corpus, labelled, CPU)
    assert found.metrics["trained_on_this_set"] is False


@pytest.fixture(scope="module")
def small(labelled: Images, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """A part of the digits, for settings that need no accuracy."""
    chosen = np.arange(len(labelled))[::6]
    rows = {split: np.intersect1d(labelled.rows(split), chosen) for split in ("train", "test")}
    return Part(labelled.folder, rows)


class Part(Images):
    """Some of the rows of a set."""

    def __init__(self, folder: Path, chosen: dict[str, np.ndarray]) -> None:
        super().__init__(folder)
        self.chosen = chosen

    def rows(self, split: str) -> np.ndarray:
        return self.chosen[split]


@pytest.mark.parametrize(
    ("changes", "features"),
    [
        ({"layers": [6]}, 16 * 4 * WIDTH),
        ({"pooling": "both"}, 2 * 16 * 14 * WIDTH),
        ({"flip": True, "scaling": "standardised", "storage": "disk"}, 16 * 14 * WIDTH),
        ({"scaling": "signed_root", "labels_per_class": [5], "draws": 2}, 16 * 14 * WIDTH),
    ],
)
def test_each_lever_reaches_the_measurement(
    changes: dict[str, Any], features: int, small: Images, corpus: Images
) -> None:
    network = Discriminator(WIDTH)
    initialise(network, torch.Generator().manual_seed(99))
    freeze_on(network, len(corpus), corpus.pixels, CPU)
    found = evaluate(PARAMS.model_copy(update=changes), network, TRAINED_ON, corpus, small, CPU).metrics
    assert found["features"] == features
    assert found["accuracy"] > 0.5
    if "labels_per_class" in changes:
        assert 0.3 < found["accuracy_5_a_class"] < found["accuracy"]
        assert found["accuracy_error_5_a_class"] > 0
        assert {"C_5_a_class", "accuracy_5_a_class_random_init"} <= found.keys()


def test_more_labels_than_there_are_are_refused_before_anything_is_computed(small: Images, corpus: Images) -> None:
    changed = PARAMS.model_copy(update={"labels_per_class": [5, 1000]})
    with pytest.raises(UserError, match=r"labels_per_class is \[5, 1000\]: \d+ are there to draw from"):
        evaluate(changed, Discriminator(WIDTH), TRAINED_ON, corpus, small, CPU)


def test_a_layer_that_is_not_there_is_named(small: Images, corpus: Images) -> None:
    with pytest.raises(UserError, match="names layer 7, but the discriminator has 6"):
        evaluate(PARAMS.model_copy(update={"layers": [1, 7]}), Discriminator(WIDTH), TRAINED_ON, corpus, small, CPU)


def test_every_probe_is_solved_to_the_tolerance(evaluation: Evaluation) -> None:
    for name in ("duality_gap", "duality_gap_pixels", "duality_gap_random_init"):
        assert 0 <= evaluation.metrics[name] <= PARAMS.tolerance


def test_an_untrained_network_is_about_as_good_as_the_control(evaluation: Evaluation) -> None:
    assert evaluation.metrics["accuracy"] == pytest.approx(evaluation.metrics["accuracy_random_init"], abs=0.06)
    assert evaluation.metrics["accuracy"] != evaluation.metrics["accuracy_pixels"]


def test_confusion_adds_up_to_the_accuracy(evaluation: Evaluation) -> None:
    matrix = confusion(evaluation)
    assert matrix.sum() == TEST_IMAGES
    assert np.trace(matrix) / TEST_IMAGES == pytest.approx(evaluation.metrics["accuracy"])


def test_test_set_is_the_published_one(evaluation: Evaluation, labelled: Images) -> None:
    assert (evaluation.truth == labelled.labels("test")).all()
    assert evaluation.test_pixels.shape == (TEST_IMAGES, 32, 32, 3)
    assert evaluation.classes == [str(digit) for digit in range(10)]


def test_predictions_have_a_row_a_test_image(evaluation: Evaluation, tmp_path: Path) -> None:
    save_pictures(evaluation, tmp_path)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == TEST_IMAGES
    assert [row["actual"] for row in rows] == [str(label) for label in evaluation.truth]
    right = sum(row["actual"] == row["predicted"] for row in rows)
    assert right / TEST_IMAGES == pytest.approx(evaluation.metrics["accuracy"])
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in ("confusion", "mistakes"))
