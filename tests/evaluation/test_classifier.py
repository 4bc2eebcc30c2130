import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganpipe.cli import main
from ganpipe.corpus import unpack
from ganpipe.corpus.shards import Images, write_encoded, write_pixels
from ganpipe.errors import UserError
from ganpipe.evaluation import classifier, inception
from ganpipe.evaluation.image_sets import compare
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.report import evaluate
from ganpipe.models.store import load_discriminator

CPU = torch.device("cpu")
TRAIN, COUNT = 1200, 1797
SPLITS = {"train": [0, TRAIN], "test": [TRAIN, COUNT]}


@pytest.fixture
def digits() -> Images:
    """At 32x32."""
    images, labels = unpack.digits()
    return packed("digits", images.repeat(4, 1).repeat(4, 2), labels, splits=SPLITS)


def packed(name: str, pixels: np.ndarray, labels: np.ndarray | None = None, **about: Any) -> Images:
    Path(name).mkdir()
    write_pixels(Path(name), [pixels], len(pixels), labels, {"name": name, **about})
    return Images(Path(name))


@pytest.fixture
def saved(digits: Images) -> Path:
    trained = classifier.train(digits, 4, 150, 0, CPU)
    assert trained.accuracy is not None
    assert trained.accuracy > 0.9
    classifier.save(Path("model"), trained, digits, 150, 0)
    return Path("model")


def test_it_is_saved_as_the_network_that_was_trained(digits: Images) -> None:
    trained = classifier.train(digits, 2, 3, 0, CPU)
    checksum = classifier.save(Path("model"), trained, digits, 3, 0)
    network, x = load_discriminator(Path("model"), CPU), torch.rand(5, 3, 32, 32)
    for one, other in zip(network.activations(x), trained.network.activations(x), strict=True):
        torch.testing.assert_close(one, other)
    again = classifier.train(digits, 2, 3, 0, CPU)
    assert classifier.save(Path("again"), again, digits, 3, 0) == checksum
    third = classifier.train(digits, 2, 3, 1, CPU)
    assert classifier.save(Path("other"), third, digits, 3, 1) != checksum


def test_distances_by_its_features_carry_its_name_and_tell_what_is_far(
    saved: Path, digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed("far", np.ascontiguousarray(digits.pixels(digits.rows("test"))[:, ::-1]))
    checksum = json.loads((saved / "config.json").read_text())["sha256"]["discriminator"][:8]
    name = f"fid_classifier_{checksum}_unresized_500"
    for place in (None, Path("installed")):  # named, it goes before Inception
        monkeypatch.setattr(inception, "installed", lambda place=place: place)
        near = compare("digits:train", "digits:test", 500, 0, CPU, saved)[name]
        assert 2 * near < compare("digits:train", "far", 500, 0, CPU, saved)[name]


def test_no_figure_of_the_evaluation_is_of_a_classifier(saved: Path, digits: Images) -> None:
    params = EvaluateParams.model_construct(average=False)
    with pytest.raises(UserError, match="model is a classifier, trained on labels"):
        evaluate(params, saved, digits, digits, CPU)


def test_a_set_without_test_images_has_no_accuracy(digits: Images) -> None:
    every = packed("every", digits.pixels(np.arange(200)), digits.labels("train")[:200])
    assert classifier.train(every, 2, 2, 0, CPU).accuracy is None


def test_what_cannot_be_trained_on_is_refused_by_a_sentence(digits: Images) -> None:
    pixels = digits.pixels(np.arange(8))
    Path("files").mkdir()
    write_encoded(Path("files"), [("png", b"", {}, None)], {})
    for images, sentence in (
        (Images(Path("files")), "holds images of any size"),
        (packed("odd", pixels[:, :20, :20], np.arange(8)), r"of 20x20; there are networks for \[28, 32, 64\]"),
        (packed("one", pixels, np.zeros(8, np.int64)), "holds one class"),
        (packed("bare", pixels), "has no labels"),
    ):
        with pytest.raises(UserError, match=sentence):
            classifier.train(images, 2, 2, 0, CPU)


def test_the_command_makes_what_distances_takes(
    digits: Images, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ganpipe(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ganpipe", *words])
        main()
        return capsys.readouterr().out

    monkeypatch.setenv("GANPIPE_DEVICE", "cpu")
    found = ganpipe("classifier", "digits", "--width", "2", "--steps", "3", "--out", "c")
    assert "of the test images are told right\nc: name it by --network" in found
    assert "fid_classifier_" in ganpipe("distances", "digits:train", "digits:test", "--network", "c", "--samples", "9")
    for words, sentence in (
        (("--steps", "0"), "--steps is 0: it is a number from 1"),
        (("--out", "gan"), "gan holds a trained generator: choose another folder"),
    ):
        Path("gan").mkdir(exist_ok=True)
        Path("gan/generator.safetensors").touch()
        with pytest.raises(SystemExit) as ended:
            ganpipe("classifier", "digits", *words)
        assert ended.value.code == f"error: {sentence}"
