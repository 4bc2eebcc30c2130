import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ganpipe import files
from ganpipe.errors import UserError
from ganpipe.models.dcgan import Discriminator, Generator, Normalisation, fold, place
from ganpipe.models.store import CONFIG, load_config, load_discriminator, load_generator, save_gan, split_average

CPU = torch.device("cpu")
NAMES = ("generator", "discriminator")


def gan(width: int = 2, latent: int = 5) -> dict[str, Generator | Discriminator]:
    """With random values everywhere, the statistics included."""
    generator, discriminator = Generator(width, latent), Discriminator(width)
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (*generator.state_dict().values(), *discriminator.state_dict().values()):
            tensor.normal_(generator=source)
    return {"generator": generator, "discriminator": discriminator}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model; tests that damage one work on a copy or put back what they changed."""
    folder = tmp_path_factory.mktemp("models") / "gan"
    save_gan(folder, gan(), {"steps": 7})
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_gan(tmp_path, gan(), {})
    return tmp_path


def same(a: nn.Module, b: nn.Module) -> bool:
    return a.state_dict().keys() == b.state_dict().keys() and all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_networks_come_back_bit_by_bit(whole: Path) -> None:
    networks = gan()
    assert same(load_generator(whole, CPU), networks["generator"])
    assert same(load_discriminator(whole, CPU), networks["discriminator"])
    assert any("variance" in name for name in networks["discriminator"].state_dict())


@pytest.mark.parametrize("normalisation", ["spectral", "none"])
def test_networks_of_other_shapes_come_back_too(tmp_path: Path, normalisation: Normalisation) -> None:
    generator = Generator(2, 3, "dcgan64")
    discriminator = fold(Discriminator(3, "dcgan64", normalisation, rotation=True))
    save_gan(tmp_path, {"generator": generator, "discriminator": discriminator}, {})
    assert same(load_generator(tmp_path, CPU), generator)
    assert same(load_discriminator(tmp_path, CPU), discriminator)


def test_memory_layout_is_not_saved(tmp_path: Path) -> None:
    plain = save_gan(tmp_path / "plain", gan(), {})
    turned = {name: place(network, CPU) for name, network in gan().items()}
    assert save_gan(tmp_path / "turned", turned, {}) == plain


def test_loaded_networks_are_for_inference(whole: Path) -> None:
    for network in (load_generator(whole, CPU), load_discriminator(whole, CPU)):
        assert not any(module.training for module in network.modules())


def test_files_are_safetensors_and_json_only(whole: Path) -> None:
    assert sorted(path.name for path in whole.iterdir()) == [CONFIG, *sorted(f"{name}.safetensors" for name in NAMES)]
    for name in NAMES:
        data = (whole / f"{name}.safetensors").read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])  # the format's own layout: a length, a JSON header, plain numbers
        assert len(data) == 8 + length + max(entry["data_offsets"][1] for entry in header.values())
        assert {entry["dtype"] for entry in header.values()} == {"F32"}


def test_config_says_how_to_build_the_networks_and_what_the_files_hold(whole: Path) -> None:
    config = load_config(whole)
    assert config["generator"] == {"width": 2, "latent": 5, "architecture": "dcgan32"}
    assert config["discriminator"]["width"] == 2
    assert config["steps"] == 7
    assert config["sha256"] == {name: files.sha256(whole / f"{name}.safetensors") for name in NAMES}


def test_a_missing_folder_is_the_users_to_mend(tmp_path: Path) -> None:
    for load in (load_generator, load_discriminator):
        with pytest.raises(UserError, match="dvc repro train"):
            load(tmp_path / "nowhere", CPU)


@pytest.mark.parametrize("name", NAMES)
def test_missing_weights_are_the_users_to_mend(folder: Path, name: str) -> None:
    (folder / f"{name}.safetensors").unlink()
    with pytest.raises(UserError, match=rf"{name}\.safetensors is missing"):
        load_generator(folder, CPU) if name == "generator" else load_discriminator(folder, CPU)


@pytest.mark.parametrize("content", [b"", b'{"schema": 1,', b"\xff\xfe{", b"[]", b"null", b"{}", b"[" * 100_000])
def test_a_broken_config_is_the_users_to_mend(folder: Path, content: bytes) -> None:
    (folder / CONFIG).write_bytes(content)
    with pytest.raises(UserError, match=CONFIG):
        load_discriminator(folder, CPU)


@pytest.mark.parametrize(
    "change", [{"schema": 0}, {"network": "another"}, {"discriminator": None}, {"sha256": None}, {"sha256": 5}]
)
def test_a_config_of_another_form_is_the_users_to_mend(folder: Path, change: dict[str, object]) -> None:
    config = {**load_config(folder), **change}
    (folder / CONFIG).write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    with pytest.raises(UserError, match=CONFIG):
        load_discriminator(folder, CPU)


@given(st.floats(0, 1, exclude_max=True))
def test_truncated_weights_are_the_users_to_mend(whole: Path, share: float) -> None:
    path = whole / "discriminator.safetensors"
    data = path.read_bytes()
    try:
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(UserError, match=r"discriminator\.safetensors is damaged.*`dvc repro --force"):
            load_discriminator(whole, CPU)
    finally:
        path.write_bytes(data)


def vouched(folder: Path) -> None:
    """Let the config name the checksums of what is there: as whoever wrote the weights would."""
    config = load_config(folder)
    found = {name: files.sha256(path) for name in NAMES if (path := folder / f"{name}.safetensors").exists()}
    (folder / CONFIG).write_text(json.dumps({**config, "sha256": {**config["sha256"], **found}}))


@pytest.mark.parametrize("head", [2**63, 2**40, 100, 0])
def test_a_head_that_lies_of_its_length_is_the_users_to_mend(folder: Path, head: int) -> None:
    path = folder / "discriminator.safetensors"
    path.write_bytes(head.to_bytes(8, "little") + path.read_bytes()[8:])
    vouched(folder)
    with pytest.raises(UserError, match="does not hold these weights"):
        load_discriminator(folder, CPU)


def test_weights_of_another_width_are_the_users_to_mend(folder: Path, tmp_path: Path) -> None:
    save_gan(tmp_path / "other", gan(width=3), {})
    for name in NAMES:
        (tmp_path / "other" / f"{name}.safetensors").replace(folder / f"{name}.safetensors")
    vouched(folder)
    for load in (load_generator, load_discriminator):
        with pytest.raises(UserError, match="does not hold these weights"):
            load(folder, CPU)


def test_one_networks_weights_are_not_the_others(folder: Path) -> None:
    (folder / "generator.safetensors").replace(folder / "discriminator.safetensors")
    vouched(folder)
    with pytest.raises(UserError, match="does not hold these weights"):
        load_discriminator(folder, CPU)


def test_a_flipped_bit_in_the_weights_is_noticed() -> None:
    save_gan(Path("gan"), gan(), {})
    path = Path("gan/discriminator.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"discriminator.safetensors is damaged"):
        load_discriminator(Path("gan"), torch.device("cpu"))


@pytest.mark.parametrize("shape", [{"width": -1}, {"architecture": "of-2031"}, {"depth": 3}, {"width": "2"}])
def test_a_network_that_cannot_be_built_is_the_users_to_mend(folder: Path, shape: dict[str, object]) -> None:
    config = load_config(folder)
    (folder / CONFIG).write_text(json.dumps({**config, "generator": {**config["generator"], **shape}}))
    with pytest.raises(UserError, match="describes a network that this version does not know"):
        load_generator(folder, CPU)


def test_averaged_weights_are_asked_for_behind_the_folder() -> None:
    assert split_average("models/gan") == (Path("models/gan"), False)
    assert split_average("models/gan:average") == (Path("models/gan"), True)
    assert split_average("models/gan:averages") == (Path("models/gan:averages"), False)


def test_a_folder_without_a_network_says_which(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text())
    del config["generator"], config["sha256"]["generator"]
    (folder / CONFIG).write_text(json.dumps(config))
    assert load_discriminator(folder, CPU).feature_count > 0
    with pytest.raises(UserError, match="holds no generator"):
        load_generator(folder, CPU)
    with pytest.raises(UserError, match="holds no discriminator_average: its training kept no averaged weights"):
        load_discriminator(folder, CPU, average=True)
