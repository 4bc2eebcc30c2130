from pathlib import Path

import numpy as np
import pytest

from ganpipe.demo import exported
from ganpipe.demo.exported import Part, cached, session, statistics
from ganpipe.demo.models import named
from ganpipe.demo.served import Shelf
from ganpipe.errors import UserError
from support import tiny
from support.tiny import Project


def never(*_: object) -> None:
    raise AssertionError("exported again")


def test_what_was_exported_is_not_exported_again(here: Project, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported, "_write", never)
    for served in shelf.models.values():
        session(served.model, "generator")


def test_a_damaged_one_is_exported_again(here: Project, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    model = shelf.models["some-images"].model
    path = cached(model, "generator")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000])
    again: list[str] = []

    def written(_: object, part: str, to: Path) -> None:
        again.append(part)
        to.write_bytes(whole)

    monkeypatch.setattr(exported, "_write", written)
    running = session(model, "generator")
    assert again == ["generator"]
    assert running.run(None, {"z": np.zeros((1, 12), np.float32)})[0].shape == (1, 3, 32, 32)


def test_what_is_cached_is_named_by_what_determines_it(here: Project, shelf: Shelf) -> None:
    names = {cached(each.model, part) for each in shelf.models.values() for part in ("generator", "discriminator")}
    assert len(names) == 4
    assert set(Path(".ckpt/demo").glob("*.onnx")) < names


def test_other_weights_are_another_file() -> None:
    before = cached(named([str(tiny.generator(Path("gan")))])[0], "generator")
    model = named([str(tiny.generator(Path("gan"), latent=13))])[0]
    assert cached(model, "generator") != before


@pytest.mark.parametrize("part", ["generator", "discriminator"])
def test_weights_that_were_replaced_since_are_not_kept_under_the_name_of_the_old_ones(part: Part) -> None:
    [model] = named([str(tiny.generator(Path("gan")))])
    tiny.perceptron(Path("gan"), "mlp28")
    with pytest.raises(UserError, match="gan holds another model than when this server was started: start it again"):
        session(model, part)
    assert not cached(model, part).exists()


def test_a_translator_normalises_as_in_its_training() -> None:
    [model] = named([str(tiny.translator(Path("gan")))])
    assert statistics(model) == "image"
    model.train["batch_size"] = 4
    assert statistics(model) == "frozen"
