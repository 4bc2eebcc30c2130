import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ganpipe.corpus.shards import Images
from ganpipe.demo.models import found, named
from ganpipe.errors import UserError
from ganpipe.models.store import load_config
from ganpipe.training.loop import train
from ganpipe.training.results import save
from support import tiny
from support.settings import train_params


def test_models_are_found_in_their_places_and_told_by_what_they_are() -> None:
    tiny.project(Path())
    tiny.generator(Path("released/roses"))
    tiny.perceptron(Path("studies/mnist-zero/models/gan"), "mlp28")
    models, reasons = found(Path())
    assert reasons == []
    told = {each.name: (each.kind, each.size, each.draws, each.inspects, each.corpus() is not None) for each in models}
    assert told == {
        "some-images": ("generator", 32, False, True, True),
        "facades": ("translator", 128, True, False, True),
        "mnist-zero": ("generator", 28, False, False, False),
        "roses": ("generator", 32, False, True, False),
    }


def test_what_makes_no_images_is_left_out_with_a_reason() -> None:
    tiny.perceptron(Path("studies/gaussian/models/gan"), "mlp1")
    assert found(Path()) == (
        [],
        ["studies/gaussian/models/gan makes numbers, no images, so that there is nothing to show"],
    )


def test_a_broken_one_does_not_keep_the_others_from_being_shown() -> None:
    tiny.generator(Path("models/gan"))
    tiny.generator(Path("studies/faces/models/gan"))
    Path("models/gan/config.json").write_text("{")
    models, [reason] = found(Path())
    assert [each.name for each in models] == ["faces"]
    assert "models/gan/config.json is not JSON" in reason


def edit(folder: Path, **parts: Any) -> None:
    """Its config, with these parts instead."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **parts}))


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"generator": {"architecture": "of-2031"}}, "holds a generator that this version does not know: 'of-2031'"),
        ({"generator": {"architecture": ["of-2031"]}}, "this version does not know"),
        ({"generator": {}}, "this version does not know"),
        ({"generator": "of-2031"}, "does not read: generator is no object in config.json"),
        ({"discriminator": []}, "does not read: discriminator is no object"),
        ({"train": None}, "does not read: train is no object"),
        ({"corpus": "roses"}, "does not read: corpus is no object"),
        ({"schema": 99}, "of a form that this version does not read"),
    ],
)
def test_one_of_a_newer_version_does_not_either(parts: dict[str, Any], told: str) -> None:
    edit(tiny.generator(Path("released/newer")), **parts)
    tiny.generator(Path("released/roses"))
    models, [reason] = found(Path())
    assert [each.name for each in models] == ["roses"]
    assert "released/newer" in reason and told in reason


def test_one_that_cannot_be_read_does_not_either() -> None:
    Path("released/newer/config.json").mkdir(parents=True)
    tiny.generator(Path("released/roses"))
    models, reasons = found(Path())
    assert [each.name for each in models] == ["roses"]
    assert reasons == ["released/newer/config.json cannot be read: Is a directory"]


@pytest.mark.parametrize("discriminator", [{"features": 3}, {"architecture": ["of-2031"]}])
def test_a_discriminator_of_a_newer_version_does_not_inspect(discriminator: dict[str, Any]) -> None:
    edit(tiny.generator(Path("one")), discriminator=discriminator)
    assert not named(["one"])[0].inspects


def test_images_of_another_size_are_not_its_own() -> None:
    tiny.translator(Path("models/gan"))
    tiny.images(Path())
    assert named(["models/gan"])[0].corpus() is None


def test_images_that_it_was_not_trained_on_are_not_its_own() -> None:
    tiny.project(Path())
    digest = Images(Path("data/processed")).digest
    edit(Path("models/gan"), corpus={"processed": digest})
    assert named(["models/gan"])[0].corpus() is not None
    edit(Path("models/gan"), corpus={"processed": digest[::-1]})
    [model] = named(["models/gan"])
    assert model.corpus() is None
    assert model.no_corpus() == "the images here are others than it was trained on"


def test_a_training_says_which_images_it_was_of(corpus: Images) -> None:
    params = train_params(steps=1)
    save(train(params, corpus, torch.device("cpu")), params, corpus, Path("models/gan"))
    assert load_config(Path("models/gan"))["corpus"]["processed"] == corpus.digest


def test_a_model_from_photographs_to_labels_does_not_draw() -> None:
    tiny.translator(Path("models/gan"), direction="AtoB")
    assert not named(["models/gan"])[0].draws


def test_names_are_plain_and_each_is_there_once() -> None:
    tiny.generator(Path("one"))
    tiny.generator(Path("two"))
    assert [each.name for each in named(["one", "two"])] == ["some-images", "some-images-2"]


@pytest.mark.parametrize(
    ("given", "told"),
    [("nowhere", "holds no config.json"), ("one:average", "holds no averaged generator: leave out :average")],
)
def test_what_is_asked_for_and_is_not_there_is_told(given: str, told: str) -> None:
    tiny.generator(Path("one"))
    with pytest.raises(UserError, match=told):
        named([given])
