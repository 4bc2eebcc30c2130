from pathlib import Path

import pytest
import torch

from ganpipe import cli
from ganpipe.errors import UserError
from ganpipe.models.dcgan import Discriminator, Generator, fold
from ganpipe.models.store import CLASSIFIER, load_config, load_discriminator, save_gan
from ganpipe.release import release
from support.tiny import lively

CPU = torch.device("cpu")
IMAGES = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def model(folder: Path) -> Path:
    networks = {
        "generator": lively(Generator(2, 5, "dcgan32"), 0),
        "discriminator": fold(lively(Discriminator(2, "dcgan32"), 1)),
        "discriminator_average": fold(lively(Discriminator(2, "dcgan32"), 2)),
    }
    about = {"train": {"steps": 7}, "corpus": {"resize": "bilinear"}, "sampled": "not of the discriminator"}
    save_gan(folder, networks, about)
    return folder


@pytest.mark.parametrize("average", [False, True])
def test_the_released_gives_the_features_but_for_rounding(average: bool, tmp_path: Path) -> None:
    whole = model(tmp_path / "gan")
    released = release(whole, average, tmp_path / "out")
    with torch.no_grad():
        wanted = load_discriminator(whole, CPU, average).activations(IMAGES)
        found = load_discriminator(tmp_path / "out", CPU).activations(IMAGES)
    away = [float((a - b).abs().max() / a.abs().max()) for a, b in zip(wanted, found, strict=True)]
    assert 0 < max(away) < 0.02
    assert 0 < released.moved < 0.02


def test_it_is_half_as_large_and_says_what_it_is_of(tmp_path: Path) -> None:
    whole = model(tmp_path / "gan")
    released = release(whole, False, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"config.json", "discriminator.safetensors"}
    assert released.bytes == (tmp_path / "out/discriminator.safetensors").stat().st_size
    config = load_config(tmp_path / "out")
    assert config["of"] == {"sha256": load_config(whole)["sha256"]["discriminator"], "averaged": False}
    assert config["train"] == {"steps": 7}
    assert "generator" not in config and "sampled" not in config


def test_rounding_again_changes_nothing(tmp_path: Path) -> None:
    release(model(tmp_path / "gan"), False, tmp_path / "once")
    assert release(tmp_path / "once", False, tmp_path / "twice").moved == 0
    once, twice = ((tmp_path / name / "discriminator.safetensors").read_bytes() for name in ("once", "twice"))
    assert once == twice


def test_a_trained_model_is_never_overwritten(tmp_path: Path) -> None:
    whole = model(tmp_path / "gan")
    for out in (whole, model(tmp_path / "other")):
        before = {path: path.read_bytes() for path in out.iterdir()}
        with pytest.raises(UserError, match=r"holds a trained generator: choose another folder"):
            release(whole, False, out)
        assert {path: path.read_bytes() for path in out.iterdir()} == before
    release(whole, False, tmp_path / "out")
    with pytest.raises(UserError, match="is the model itself"):
        release(tmp_path / "out", False, tmp_path / "out")


def test_what_was_trained_on_labels_is_not_released(tmp_path: Path) -> None:
    about = {"network": CLASSIFIER, "corpus": {"name": "digits", "resize": "bilinear"}}
    save_gan(tmp_path / "model", {"discriminator": fold(lively(Discriminator(2, "dcgan32"), 1))}, about)
    with pytest.raises(UserError, match="model is a classifier, trained on labels"):
        release(tmp_path / "model", False, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_not_averaged_has_no_average(tmp_path: Path) -> None:
    release(model(tmp_path / "gan"), False, tmp_path / "out")
    with pytest.raises(UserError, match="kept no averaged weights"):
        release(tmp_path / "out", True, tmp_path / "again")


def test_the_command_takes_the_averaged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = model(tmp_path / "gan")
    monkeypatch.setattr("sys.argv", ["ganpipe", "release", f"{whole}:average", str(tmp_path / "out")])
    cli.main()
    size = (tmp_path / "out/discriminator.safetensors").stat().st_size
    assert f"{size:,} bytes; rounding moved its features by 0." in capsys.readouterr().out
    assert load_config(tmp_path / "out")["of"]["averaged"] is True
