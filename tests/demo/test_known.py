from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ganpipe.dedupe import whitened
from ganpipe.demo import known as module
from ganpipe.demo.known import Known
from ganpipe.demo.pictures import to_network
from ganpipe.demo.served import Shelf
from support.scenes import scene
from support.tiny import Project


@pytest.fixture
def known(here: Project, shelf: Shelf) -> Known:
    """Prepared."""
    served = shelf.models["some-images"]
    assert served.corpus is not None
    made = Known(served.model, served.corpus)
    assert made.share == 0 and made.nearest(np.zeros(3)) == []
    made.prepare()
    return made


def features(shelf: Shelf, pixels: np.ndarray) -> np.ndarray:
    running = shelf.models["some-images"].network("discriminator")
    return np.asarray(running.run(["features"], {"images": to_network(pixels)})[0])


def test_a_training_image_is_nearest_to_itself(known: Known, shelf: Shelf, here: Project) -> None:
    assert known.share == 1
    for row in (0, 17):
        near = known.nearest(features(shelf, here.images[row : row + 1])[0])
        assert near[0].row == row
        assert near[0].distance < 0.01 < near[1].distance
        assert [each.distance for each in near] == sorted(each.distance for each in near)


def test_distances_are_of_standardised_features(known: Known, shelf: Shelf, here: Project) -> None:
    all_of_them = features(shelf, here.images).astype(np.float64)
    deviation = all_of_them.std(0)
    deviation[deviation < 1e-9] = 1
    ours = features(shelf, scene(99)[None])[0]
    apart = np.sqrt((((all_of_them - ours) / deviation) ** 2).mean(1))
    near = known.nearest(ours)
    np.testing.assert_allclose([each.distance for each in near], np.sort(apart)[: len(near)], rtol=0.01)


def test_a_brighter_copy_is_a_near_duplicate_and_another_image_is_none(known: Known, here: Project) -> None:
    copy = np.array(ImageEnhance.Brightness(Image.fromarray(here.images[5])).enhance(1.05))
    found, _ = known.duplicate(copy)
    assert found is not None and found.row == 5
    assert known.duplicate(scene(99).copy())[0] is None


def test_beyond_the_radius_nothing_is_a_near_duplicate(
    known: Known, here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "_radius", -1)
    assert known.duplicate(here.images[5]) == (None, 0)


def test_features_are_taken_once(known: Known, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(module, "session", never)
    again = Known(known.model, known.images)
    again.prepare()
    assert again.share == 1


def test_of_many_images_some_are_compared(here: Project, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 9)
    served = shelf.models["some-images"]
    assert served.corpus is not None
    some = Known(served.model, served.corpus)
    some.prepare()
    assert (len(some.rows), some.count, len(some.hashed)) == (9, 40, 40)
    row = int(some.rows[4])
    assert some.nearest(features(shelf, here.images[row : row + 1])[0])[0].row == row


def test_without_its_file_the_hash_is_missing_and_features_are_taken(here: Project, shelf: Shelf) -> None:
    made = without(here, shelf, "encoder.safetensors")
    assert made.no_hash is not None and "encoder.safetensors is missing" in made.no_hash
    assert made.share == 1


def test_where_nothing_was_deduped_a_hash_is_made(here: Project, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    made = without(here, shelf, "manifest.json")
    found, _ = made.duplicate(np.roll(here.images[5], 1, axis=1))
    assert found is not None and found.row == 5
    assert made.duplicate(scene(99).copy())[0] is None
    monkeypatch.setattr(whitened, "fit", None)  # it is made once
    assert without(here, shelf, "manifest.json").no_hash is None


def without(here: Project, shelf: Shelf, name: str) -> Known:
    """What is known, prepared while this file of the dedupe stage is away."""
    served = shelf.models["some-images"]
    assert served.corpus is not None
    path = here.root / "data/deduped" / name
    path.rename("away")
    try:
        made = Known(served.model, served.corpus)
        made.prepare()
    finally:
        Path("away").rename(path)
    return made
