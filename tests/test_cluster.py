"""On a real cluster of two machines, both of them here."""

import io
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganpipe import cluster, runtime
from ganpipe.corpus import pack, shards
from ganpipe.corpus.download import download
from ganpipe.corpus.preprocess import preprocess
from ganpipe.corpus.shards import Images, write_encoded
from ganpipe.dedupe import clusters, projection, shuffle
from ganpipe.dedupe.dedupe import dedupe
from ganpipe.dedupe.hamming import pairs_within
from ganpipe.dedupe.keep import read_kept
from ganpipe.dedupe.search import Found
from ganpipe.errors import UserError
from ganpipe.evaluation import features
from ganpipe.evaluation.features import Levers, extract
from ganpipe.models.dcgan import Discriminator, initialise
from ganpipe.models.norm import freeze_statistics
from ganpipe.models.pixels import to_network
from ganpipe.runtime import map_batches
from support.dedupe_settings import dedupe_params
from support.scenes import scene
from support.settings import download_params, preprocess_params
from support.work import fail, meet_on_machine, slow_square, square, zeros

CPU = torch.device("cpu")
COUNT, COPIED = 200, 20  # images, and how many of them are there again, as JPEGs
ROOM: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 << 20}


def encoded(seed: int, form: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.fromarray(scene(seed, 40, 50)).save(written, form)
    return written.getvalue()


def run_stages(out: Path) -> dict[str, bytes]:
    """Download, dedupe and preprocess, and features of what they made: every byte, by its file."""
    download(download_params("folder", "photos"), out / "raw")
    raw = Images(out / "raw")
    dedupe(dedupe_params(method="whitened", radius=10, planted=80), raw, [], "train", CPU, out / "deduped")
    kept = read_kept(out / "deduped")
    assert len(kept) == COUNT
    preprocess(preprocess_params(side=32), raw, kept, out / "processed")
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    images = Images(out / "processed")
    pixels = images.pixels(np.arange(len(images)))
    network = Discriminator(4)
    initialise(network, torch.Generator().manual_seed(0))
    freeze_statistics(network, [to_network(torch.from_numpy(pixels[:64]))])
    for name, levers in {"plain": Levers(), "levers": Levers((2, 6), "both", flip=True, half=True)}.items():
        found[name] = extract(network, pixels, CPU, "features", levers).numpy().tobytes()
    return found


@pytest.fixture
def photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of them, and batches so small that a few hundred are many."""
    Path("photos").mkdir()
    for seed in range(COUNT):
        Path(f"photos/{seed:03}.png").write_bytes(encoded(seed))
    for seed in range(COPIED):
        Path(f"photos/copy-{seed:03}.jpg").write_bytes(encoded(seed, "JPEG"))
    Path("photos/notes.txt").write_text("no image")
    for module in (shards, pack):
        monkeypatch.setattr(module, "BATCH", 8)
    monkeypatch.setattr(projection, "BLOCK", 16)
    monkeypatch.setattr(features, "BATCH", 16)
    monkeypatch.setattr(shuffle, "BLOCK", 64)
    monkeypatch.setattr(clusters, "pairs_within", partial(pairs_within, memory=1))


def test_stages_give_the_same_bytes_also_where_machines_die_midway(
    on_ray: Any, photographs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In three of them a further machine comes, and goes after a few batches."""
    dying = ("check", "search", "_by_one_thread")
    ran: set[str] = set()
    extra: list[Any] = []
    mapped, searched = cluster.map_batches, shuffle.search

    def begin(name: str) -> None:
        if name in dying and name not in ran:
            extra.append(on_ray.add_node(**ROOM))
        ran.add(name)

    def kill() -> None:
        while extra:
            on_ray.remove_node(extra.pop(), allow_graceful=False)

    def mapping(work: Callable[[Any], Any], batches: Iterable[Any]) -> Iterator[Any]:
        begin(work.func.__name__ if isinstance(work, partial) else work.__name__)
        for number, done in enumerate(mapped(work, batches)):
            if number == 3:
                kill()
            yield done

    def searching(codes: np.ndarray, found: Found) -> None:
        begin("search")
        threading.Timer(1.0, kill).start()
        searched(codes, found)

    monkeypatch.setattr(cluster, "map_batches", mapping)
    monkeypatch.setattr(shuffle, "search", searching)
    there = run_stages(Path("there"))
    assert ran >= {"check", "_squares", "_of_files", "_projected", "_by_one_thread", "search"}
    assert not extra
    monkeypatch.delenv("GANPIPE_ENGINE")
    monkeypatch.setattr(runtime, "cores", lambda: 1)  # a pool would take longer to start than to work
    monkeypatch.setattr(clusters, "pairs_within", pairs_within)  # and so would files of so few codes
    here = run_stages(Path("here"))
    assert there.keys() == here.keys()
    assert [name for name in here if there[name] != here[name]] == []


def test_batches_come_back_in_order_from_both_machines(on_ray: Any, tmp_path: Path) -> None:
    assert list(map_batches(square, iter(range(60)), 60)) == [value**2 for value in range(60)]
    assert len(set(map_batches(partial(meet_on_machine, folder=tmp_path), range(16), 16))) == 2


def test_results_do_not_hold_on_to_the_object_store(on_ray: Any) -> None:
    """Arrays of over 100 KB come through it, and a view of it could not be written to."""
    found = list(map_batches(zeros, iter([1 << 20] * 16), 16))
    assert all(array.flags.writeable and array.nbytes == 1 << 20 for array in found)


def test_a_failure_there_reaches_the_caller_as_it_was(on_ray: Any) -> None:
    with pytest.raises(ValueError, match="^batch 0$"):
        list(map_batches(fail, range(60), 60))


def test_images_are_read_there_as_they_are_here(on_ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    write_encoded(tmp_path / "set", (("png", encoded(seed), {}, None) for seed in range(20)), {})
    images = Images(Path("set"))  # in the current folder, which the machines do not share
    monkeypatch.setattr("ganpipe.corpus.shards.BATCH", 2)
    there = np.concatenate(list(images.squares(np.arange(20), 32, "antialias")))
    monkeypatch.delenv("GANPIPE_ENGINE")
    here = np.concatenate(list(images.squares(np.arange(20), 32, "antialias")))
    assert (there == here).all()


def test_a_machine_that_dies_midway_changes_nothing(on_ray: Any) -> None:
    extra = on_ray.add_node(**ROOM)
    found = map_batches(slow_square, range(60), 60)
    first = [next(found) for _ in range(12)]
    on_ray.remove_node(extra, allow_graceful=False)
    assert first + list(found) == [value**2 for value in range(60)]


def test_without_ray_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANPIPE_ENGINE", "ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"Ray is not installed: pip install 'ray\[data\]'"):
        list(map_batches(square, range(60), 60))
