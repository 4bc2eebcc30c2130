"""On a real cluster of two machines, both of them here."""

import io
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganpipe.corpus.shards import Images, write_encoded
from ganpipe.errors import UserError
from ganpipe.runtime import map_batches
from support.scenes import scene
from support.work import fail, meet_on_machine, slow_square, square


def test_batches_come_back_in_order_from_both_machines(on_ray: Any, tmp_path: Path) -> None:
    assert list(map_batches(square, iter(range(60)), 60)) == [value**2 for value in range(60)]
    assert len(set(map_batches(partial(meet_on_machine, folder=tmp_path), range(16), 16))) == 2


def test_a_failure_there_reaches_the_caller_as_it_was(on_ray: Any) -> None:
    with pytest.raises(ValueError, match="^batch 0$"):
        list(map_batches(fail, range(60), 60))


def test_images_are_read_there_as_they_are_here(on_ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def encoded(seed: int) -> bytes:
        written = io.BytesIO()
        Image.fromarray(scene(seed, 40, 50)).save(written, "PNG")
        return written.getvalue()

    (tmp_path / "set").mkdir()
    write_encoded(tmp_path / "set", (("png", encoded(seed), {}, None) for seed in range(20)), {})
    images = Images(Path("set"))  # in the current folder, which the machines do not share
    monkeypatch.setattr("ganpipe.corpus.shards.BATCH", 2)
    there = np.concatenate(list(images.squares(np.arange(20), 32, "antialias")))
    monkeypatch.delenv("GANPIPE_ENGINE")
    here = np.concatenate(list(images.squares(np.arange(20), 32, "antialias")))
    assert (there == here).all()


def test_a_machine_that_dies_midway_changes_nothing(on_ray: Any) -> None:
    extra = on_ray.add_node(num_cpus=1, object_store_memory=100 << 20)
    found = map_batches(slow_square, range(60), 60)
    first = [next(found) for _ in range(12)]
    on_ray.remove_node(extra, allow_graceful=False)
    assert first + list(found) == [value**2 for value in range(60)]


def test_without_ray_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANPIPE_ENGINE", "ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"Ray is not installed: pip install 'ray\[data\]'"):
        list(map_batches(square, range(60), 60))
