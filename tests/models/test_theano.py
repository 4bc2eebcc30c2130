from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ganpipe.errors import UserError
from ganpipe.models.dcgan import ARCHITECTURES
from ganpipe.models.theano import load_discriminator

STEM = "200_discrim_params.jl"


def shapes(name: str, width: int) -> list[tuple[int, ...]]:
    """Of the authors' arrays, in their order."""
    table = ARCHITECTURES[name]
    found: list[tuple[int, ...]] = []
    channels, side = 3, table.size
    for layer in table.discriminator:
        filters = layer.filters * width
        found.append((filters, channels, table.kernel, table.kernel))
        if layer.norm:
            found += [(filters,), (filters,)]
        channels, side = filters, side // layer.stride
    return [*found, (channels * side * side, 1)]


def released(folder: Path, name: str = "svhn32", width: int = 4) -> list[np.ndarray]:
    source = np.random.default_rng(0)
    arrays = [source.normal(0, 0.1, shape).astype(np.float32) for shape in shapes(name, width)]
    folder.mkdir()
    for number, array in enumerate(arrays, 1):
        np.save(folder / f"{STEM}_{number:02}.npy", array)
    return arrays


def by_hand(arrays: list[np.ndarray], images: torch.Tensor, stride: int, kernel: int) -> torch.Tensor:
    """The authors' svhn discriminator in training: convolutions that flip their kernels, batch norm, leaky ReLU."""
    first, *rest, dense = (torch.from_numpy(array).double() for array in arrays)
    x = F.leaky_relu(F.conv2d(images, first.flip(2, 3), stride=stride, padding=kernel // 2), 0.2)
    for weight, gain, bias in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        x = F.conv2d(x, weight.flip(2, 3), stride=stride, padding=kernel // 2)
        x = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-8).sqrt()
        x = F.leaky_relu(x * gain[:, None, None] + bias[:, None, None], 0.2)
    return (x.flatten(1) @ dense)[:, 0]


def test_it_computes_what_the_authors_network_did(tmp_path: Path) -> None:
    arrays = released(tmp_path / "svhn")
    network = load_discriminator(tmp_path / "svhn").double()
    assert (network.config["architecture"], network.width) == ("svhn32", 4)
    images = torch.rand(6, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(network(images), by_hand(arrays, images, 2, 5))


def test_kernels_of_3x3_are_the_representation_study(tmp_path: Path) -> None:
    released(tmp_path / "imagenet", "dcgan32", 2)
    network = load_discriminator(tmp_path / "imagenet")
    assert (network.config["architecture"], len(network.convs)) == ("dcgan32", 6)


def test_a_named_network_is_taken(tmp_path: Path) -> None:
    released(tmp_path / "faces", "dcgan64", 2)
    assert load_discriminator(tmp_path / "faces", "dcgan64").feature_count == 16 * 2 * 15


def test_the_first_layers_alone(tmp_path: Path) -> None:
    released(tmp_path / "svhn")
    whole = load_discriminator(tmp_path / "svhn")
    for number in (5, 6, 7, 8):
        (tmp_path / "svhn" / f"{STEM}_{number:02}.npy").unlink()
    two = load_discriminator(tmp_path / "svhn", layers=2)
    assert two.config["layers"] == len(two.convs) == 2
    assert two.feature_count == 16 * (4 + 8)
    images = torch.rand(6, 3, 32, 32) * 2 - 1
    for mine, theirs in zip(two.activations(images), whole.activations(images), strict=False):
        assert torch.equal(mine, theirs)


def test_more_layers_than_there_are_are_refused(tmp_path: Path) -> None:
    released(tmp_path / "svhn")
    with pytest.raises(UserError, match="--layers is 4, but svhn32 has 3 convolutions"):
        load_discriminator(tmp_path / "svhn", layers=4)


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    released(tmp_path / "svhn")
    for number in (3, 8):
        (tmp_path / "svhn" / f"{STEM}_{number:02}.npy").unlink()
    with pytest.raises(UserError, match=r"lacks _03.npy, _08.npy of the 8 arrays of svhn32.*--layers"):
        load_discriminator(tmp_path / "svhn")


def test_an_array_of_another_shape_is_named(tmp_path: Path) -> None:
    released(tmp_path / "svhn")
    for number in (4, 6):
        np.save(tmp_path / "svhn" / f"{STEM}_{number:02}.npy", np.zeros(9, np.float32))
    with pytest.raises(UserError, match=r"_04.npy is of shape \(9,\) instead of \(8,\); .*_06.npy is of shape \(9,\)"):
        load_discriminator(tmp_path / "svhn")


def test_a_folder_of_something_else_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a folder of the authors' arrays"):
        load_discriminator(tmp_path)


def test_two_networks_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    released(tmp_path / "svhn")
    np.save(tmp_path / "svhn" / "100_discrim_params.jl_01.npy", np.zeros(3))
    with pytest.raises(UserError, match="several networks, 100_discrim_params.jl, 200_discrim_params.jl"):
        load_discriminator(tmp_path / "svhn")


@pytest.mark.parametrize("damage", ["pickle", "text", "cut", "nan", "int", "huge", "vast"])
def test_what_is_no_array_of_numbers_is_told_and_never_unpickled(damage: str, tmp_path: Path) -> None:
    arrays = released(tmp_path / "svhn")
    path = tmp_path / "svhn" / f"{STEM}_01.npy"
    if damage == "pickle":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif damage == "nan":
        np.save(path, np.full_like(arrays[0], np.nan))
    elif damage == "int":
        np.save(path, arrays[0].astype(np.int64))
    elif damage in ("huge", "vast"):  # by its header alone
        shape = (10**12,) if damage == "huge" else (10**23,)
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    else:
        path.write_bytes(b"not an array" if damage == "text" else path.read_bytes()[:200])
    with pytest.raises(UserError, match=f"{path.name} (is no array of numbers|holds .* not all finite numbers)"):
        load_discriminator(tmp_path / "svhn")
