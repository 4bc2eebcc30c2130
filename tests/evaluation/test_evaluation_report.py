import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.corpus.shards import Images
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.pictures import confusion, save_pictures
from ganpipe.evaluation.report import Evaluation, evaluate
from ganpipe.models.dcgan import Discriminator, initialise
from ganpipe.models.pixels import freeze_on

CPU, WIDTH, TEST_IMAGES = torch.device("cpu"), 4, 360
PARAMS = EvaluateParams(datasets=["digits"], weights=None, C=[1e-3, 1e-2], validation=0.2, tolerance=1e-2, seed=0)


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
