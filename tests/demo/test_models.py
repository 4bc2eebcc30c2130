from pathlib import Path

import pytest

from ganpipe.demo.models import found, named
from ganpipe.errors import UserError
from support import tiny


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


def test_images_of_another_size_are_not_its_own() -> None:
    tiny.translator(Path("models/gan"))
    tiny.images(Path())
    assert named(["models/gan"])[0].corpus() is None


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
