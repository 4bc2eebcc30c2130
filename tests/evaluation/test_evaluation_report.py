import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.pictures import confusion, save_pictures
from ganpipe.evaluation.report import Evaluation, evaluate
from ganpipe.models.dcgan import Discriminator, initialise
from ganpipe.models.pixels import freeze_on
from ganpipe.models.store import save_gan
from ganpipe.settings import read_params
from support.graph import ROOT

TRAINED_ON = {"name": "digits", "title": find("digits").title, "resize": "bilinear"}
CPU, WIDTH, TEST_IMAGES = torch.device("cpu"), 4, 360
PARAMS = EvaluateParams.model_validate(
    {
        **read_params(ROOT / "params.yaml")["evaluate"],
        "datasets": ["digits"],
        "C": [1e-3, 1e-2],
        "tolerance": 1e-2,
    }
)


class Part(Images):
    """Some of the rows of a set."""

    def __init__(self, folder: Path, chosen: dict[str, np.ndarray], wrong: tuple[str, ...] = ()) -> None:
        super().__init__(folder)
        self.chosen, self.wrong = chosen, wrong

    def labels(self, split: str) -> np.ndarray:
        labels = super().labels(split)
        return np.roll(labels, 1) if split in self.wrong else labels

    def rows(self, split: str) -> np.ndarray:
        return self.chosen[split]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder = tmp_path_factory.mktemp("labelled") / "digits"
    download_entry(find("digits"), folder)
    return Images(folder)


def model(folder: Path, statistics: Images, seed: int = 99, **about: Any) -> Path:
    """An untrained discriminator of another seed than the control's: nothing here takes long to make."""
    network = Discriminator(WIDTH)
    initialise(network, torch.Generator().manual_seed(seed))
    freeze_on(network, len(statistics), statistics.pixels, CPU)
    save_gan(folder, {"discriminator": network}, {"corpus": TRAINED_ON, "train": {"steps": 9}, **about})
    return folder


@pytest.fixture(scope="module")
def weights(corpus: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("weights") / "gan", corpus)


@pytest.fixture(scope="module")
def evaluation(labelled: Images, corpus: Images, weights: Path) -> Evaluation:
    return evaluate(PARAMS, weights, corpus, labelled, CPU)


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


@pytest.mark.parametrize("differing", ["name", "title"])  # one folder is not the other
def test_a_discriminator_of_another_corpus_has_not_seen_the_set(
    differing: str, small: Part, corpus: Images, tmp_path: Path
) -> None:
    # The pipeline's own corpus is of digits, but these weights are said to be of photographs.
    other = model(tmp_path, corpus, corpus={**TRAINED_ON, differing: "photographs"})
    assert evaluate(PARAMS, other, corpus, small, CPU).metrics["trained_on_this_set"] is False


@pytest.fixture(scope="module")
def small(labelled: Images) -> Part:
    """A part of the digits, for settings that need no accuracy."""
    chosen = np.arange(len(labelled))[::6]
    rows = {split: np.intersect1d(labelled.rows(split), chosen) for split in ("train", "test")}
    return Part(labelled.folder, rows)


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
    changes: dict[str, Any], features: int, small: Part, corpus: Images, weights: Path
) -> None:
    found = evaluate(PARAMS.model_copy(update=changes), weights, corpus, small, CPU).metrics
    assert found["features"] == features
    assert found["accuracy"] > 0.5
    if "labels_per_class" in changes:
        assert 0.3 < found["accuracy_5_a_class"] < found["accuracy"]
        assert found["accuracy_error_5_a_class"] > 0
        assert found["duality_gap_5_a_class"] <= 1e-3
        assert {"C_5_a_class", "accuracy_5_a_class_random_init", "accuracy_5_a_class_pixels"} <= found.keys()


def test_layers_that_weigh_nothing_are_as_if_left_out(small: Part, corpus: Images, weights: Path) -> None:
    light = [1e-7, 1e-7, 1e-7, 1.0, 1e-7, 1.0]
    for changes in ({}, {"scaling": "standardised", "storage": "disk"}):
        found = [
            evaluate(PARAMS.model_copy(update={"test": False, **changes, **how}), weights, corpus, small, CPU).metrics
            for how in ({"layers": [4, 6]}, {"layer_weights": light}, {"layers": [4, 6], "layer_weights": [1.0, 9.0]})
        ]
        left_out, light_ones, weighed = found
        assert light_ones["C"] == left_out["C"]
        for key in ("accuracy_validation", "duality_gap"):
            assert light_ones[key] == pytest.approx(left_out[key], abs=1e-3)
        assert weighed["duality_gap"] != left_out["duality_gap"]


def test_a_weight_for_each_layer_or_none(small: Part, corpus: Images, weights: Path) -> None:
    with pytest.raises(UserError, match=r"evaluate.layer_weights are 5 numbers, for 6 layers"):
        evaluate(PARAMS.model_copy(update={"layer_weights": [1.0] * 5}), weights, corpus, small, CPU)
    for changes, said in (
        ({"layers": [4], "layer_weights": [1, 2]}, "layer_weights are 2 numbers, but layers names 1"),
        ({"layer_weights": [1, 0, 1, 1, 1, 1]}, "numbers above 0, one for each layer"),
        ({"layer_weights": [1, 1, 1, 1, 1, math.inf]}, "numbers above 0, one for each layer"),
    ):
        with pytest.raises(ValidationError, match=said):
            EvaluateParams.model_validate({**PARAMS.model_dump(), **changes})


def test_where_the_test_set_is_not_looked_at_its_labels_have_no_say(small: Part, corpus: Images, weights: Path) -> None:
    changes = {"test": False, "labels_per_class": [5]}
    blind, unlabelled = PARAMS.model_copy(update=changes), Part(small.folder, small.chosen, wrong=("test",))
    found, same = (evaluate(blind, weights, corpus, part, CPU) for part in (small, unlabelled))
    assert found.metrics == same.metrics
    seen = evaluate(PARAMS, weights, corpus, small, CPU).metrics
    assert found.metrics["accuracy_validation"] == seen["accuracy_validation"]
    tested = {"accuracy", "accuracy_low", "accuracy_pixels", "accuracy_5_a_class", "accuracy_error_5_a_class"}
    assert not tested & found.metrics.keys()
    assert found.metrics["accuracy_validation_5_a_class"] > 0.3
    assert len(found.answers.truth) == len(found.pixels) < len(small.rows("train")) / 4


def test_test_labels_have_no_say_in_any_choice(small: Part, corpus: Images, weights: Path) -> None:
    asked = PARAMS.model_copy(update={"labels_per_class": [5], "draws": 2})
    honest, wrong = (
        evaluate(asked, weights, corpus, part, CPU)
        for part in (small, Part(small.folder, small.chosen, wrong=("test",)))
    )
    chosen = {name for name in honest.metrics if name.startswith(("C", "accuracy_validation", "accuracy_train"))}
    assert len(chosen) > 8
    assert all(honest.metrics[name] == wrong.metrics[name] for name in chosen)
    assert (honest.answers.predicted == wrong.answers.predicted).all()
    assert wrong.metrics["accuracy"] < 0.3 < honest.metrics["accuracy"]
    assert wrong.metrics["accuracy_5_a_class"] < 0.3 < honest.metrics["accuracy_5_a_class"]


def test_layers_are_measured_each_by_itself(small: Part, corpus: Images, weights: Path) -> None:
    bars = evaluate(PARAMS.model_copy(update={"by_layer": True, "test": False}), weights, corpus, small, CPU).bars
    assert list(bars) == ["trained", "random init", "pixels", *(f"layer {number}" for number in range(1, 7))]
    only = PARAMS.model_copy(update={"layers": [4], "test": False})
    alone = evaluate(only, weights, corpus, small, CPU).metrics
    assert bars["layer 4"] == pytest.approx(alone["accuracy_validation"], abs=0.01)
    assert len(set(bars.values())) > 3


def test_discriminators_of_the_way_make_a_curve(small: Part, corpus: Images, tmp_path: Path) -> None:
    folder = model(tmp_path, corpus)
    asked = PARAMS.model_copy(update={"kept": True, "test": False})
    with pytest.raises(UserError, match=r"evaluate.kept is true, but .* has none: train with a train.keep_every"):
        evaluate(asked, folder, corpus, small, CPU)
    for step in (3, 6):
        model(folder / "kept" / f"step-{step:09}", corpus, seed=step, step=step)
    found = evaluate(asked, folder, corpus, small, CPU)
    assert sorted(found.curve) == [3, 6, 9]
    alone = evaluate(asked.model_copy(update={"kept": False}), folder / "kept" / "step-000000006", corpus, small, CPU)
    assert found.curve[6] == alone.metrics["accuracy_validation"]
    assert found.curve[9] == found.metrics["accuracy_validation"]


def test_the_supervised_control_stands_beside_the_others(small: Part, corpus: Images, weights: Path) -> None:
    asked = {"supervised_trials": 2, "supervised_steps": 30, "labels_per_class": [5], "draws": 2}
    found = evaluate(PARAMS.model_copy(update=asked), weights, corpus, small, CPU)
    metrics = found.metrics
    assert list(found.bars)[-1] == "supervised"
    assert found.bars["supervised"] == metrics["accuracy_validation_supervised"]
    assert metrics["supervised_trials"] == metrics["supervised_5_a_class_trials"] == 2
    assert {
        "accuracy_supervised",
        "accuracy_5_a_class_supervised",
        "accuracy_error_5_a_class_supervised",
    } <= metrics.keys()
    assert not any("supervised" in name for name in evaluate(PARAMS, weights, corpus, small, CPU).metrics)


def test_without_the_duplicates_of_the_list(small: Part, corpus: Images, weights: Path, tmp_path: Path) -> None:
    count = len(small.rows("test"))
    listed = tmp_path / "duplicates.csv"
    listed.write_text("TestID,TrainID,Distance,Judgment\n" + "".join(f"{row},0,0.1,1\n" for row in range(0, count, 2)))
    asked = PARAMS.model_copy(update={"duplicates": str(listed)})
    assert "accuracy_clean" not in evaluate(asked, weights, corpus, small, CPU).metrics  # the list is of CIFAR's
    small.manifest["name"] = "cifar10"
    try:
        found = evaluate(asked, weights, corpus, small, CPU)
    finally:
        small.manifest["name"] = "digits"
    right = found.answers.predicted == found.answers.truth
    assert found.metrics["accuracy_clean"] == right[1::2].mean()
    assert found.metrics["test_images_clean"] == count - -(-count // 2)
    assert {"accuracy_clean_pixels", "accuracy_clean_random_init"} <= found.metrics.keys()


def test_a_validation_part_that_takes_a_whole_class_is_refused(small: Part, corpus: Images, weights: Path) -> None:
    count = len(small.rows("train"))
    with pytest.raises(
        UserError, match=f"validation is {count - 3} of {count} training images: it leaves none of some"
    ):
        evaluate(PARAMS.model_copy(update={"validation": count - 3}), weights, corpus, small, CPU)


def test_more_labels_than_there_are_are_refused_before_anything_is_computed(
    small: Part, corpus: Images, weights: Path
) -> None:
    changed = PARAMS.model_copy(update={"labels_per_class": [5, 1000]})
    with pytest.raises(UserError, match=r"labels_per_class is \[5, 1000\]: \d+ are there to draw from"):
        evaluate(changed, weights, corpus, small, CPU)


def test_a_layer_that_is_not_there_is_named(small: Part, corpus: Images, weights: Path) -> None:
    with pytest.raises(UserError, match="names layer 7, but the discriminator has 6"):
        evaluate(PARAMS.model_copy(update={"layers": [1, 7]}), weights, corpus, small, CPU)


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
    assert (evaluation.answers.truth == labelled.labels("test")).all()
    assert evaluation.pixels.shape == (TEST_IMAGES, 32, 32, 3)
    assert evaluation.classes == [str(digit) for digit in range(10)]


def test_predictions_have_a_row_a_test_image(evaluation: Evaluation, tmp_path: Path) -> None:
    save_pictures(evaluation, tmp_path)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == TEST_IMAGES
    assert [row["actual"] for row in rows] == [str(label) for label in evaluation.answers.truth]
    right = sum(row["actual"] == row["predicted"] for row in rows)
    assert right / TEST_IMAGES == pytest.approx(evaluation.metrics["accuracy"])
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in ("confusion", "mistakes", "bars"))


def test_tables_hold_what_the_pictures_show(evaluation: Evaluation, tmp_path: Path) -> None:
    save_pictures(evaluation, tmp_path)
    found = {}
    for name in ("classes", "representations", "steps"):
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            found[name] = list(csv.DictReader(file))
    assert [row["class"] for row in found["classes"]] == evaluation.classes
    by_class = [float(row["accuracy"]) for row in found["classes"]]
    assert np.average(by_class, weights=np.bincount(evaluation.answers.truth)) == pytest.approx(
        evaluation.metrics["accuracy"]
    )
    assert all(float(row["low"]) <= float(row["accuracy"]) <= float(row["high"]) for row in found["classes"])
    bars = {row["features"]: float(row["accuracy_validation"]) for row in found["representations"]}
    assert bars == evaluation.bars
    assert bars["trained"] == evaluation.metrics["accuracy_validation"]
    assert found["steps"] == [{"step": "9", "accuracy_validation": str(evaluation.metrics["accuracy_validation"])}]


def test_a_discriminator_of_the_way_stands_at_its_own_step(small: Part, corpus: Images, tmp_path: Path) -> None:
    folder = model(tmp_path, corpus, step=3)
    assert list(evaluate(PARAMS.model_copy(update={"test": False}), folder, corpus, small, CPU).curve) == [3]
