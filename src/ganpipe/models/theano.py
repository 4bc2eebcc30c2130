"""The DCGAN authors' released discriminators (Newmu/dcgan_code): arrays that Theano's networks were saved as.

A folder holds `*_discrim_params.jl_01.npy`, `..._02.npy` and so on, one array a file: the first convolution's weight,
then each further one's weight, gain and bias, last the map to one logit. Theano's convolution flips its kernels, ours
does not, so they are flipped here. There are no batch-norm statistics among them: they follow from a corpus.
"""

import math
import re
from pathlib import Path
from textwrap import shorten

import numpy as np
import torch
from torch import Tensor

from ganpipe.errors import UserError
from ganpipe.models.dcgan import ARCHITECTURES, Discriminator

NAME = re.compile(r"(.*_discrim_params\.jl)_(\d+)\.npy")
LONGEST_REASON = 80  # letters
NETWORKS = {3: "dcgan32", 5: "svhn32"}  # by the size of the kernels: the two that were released


def load_discriminator(folder: Path, architecture: str | None = None, layers: int | None = None) -> Discriminator:
    """The folder's discriminator, with statistics still to be frozen; with `layers` only its first convolutions.

    `architecture` is told from the kernels where it is not given. Raises UserError that names what is missing or of
    another shape. No pickle is read.
    """
    files = _files(folder)
    first = _read(files[1])
    if first.ndim != 4 or first.shape[1] != 3:
        raise UserError(f"{files[1]} is of shape {first.shape}: a first convolution's is (filters, 3, side, side)")
    width, kernel = first.shape[0], first.shape[2]
    if architecture is None and kernel not in NETWORKS:
        raise UserError(f"{files[1]} holds kernels of {kernel}x{kernel}, of no released network: name one by --network")
    name = architecture or NETWORKS[kernel]
    if layers is not None and layers > (most := len(ARCHITECTURES[name].discriminator)):
        raise UserError(f"--layers is {layers}, but {name} has {most} convolutions")
    network = Discriminator(width, name, layers=layers)
    wanted = _wanted(network, whole=layers is None)
    missing = [number for number in range(1, len(wanted) + 1) if number not in files]
    if missing:
        names = ", ".join(f"_{number:02}.npy" for number in missing)
        raise UserError(
            f"{folder} lacks {names} of the {len(wanted)} arrays of {network.config['architecture']}"
            + ("" if layers else ": with --layers N its first N convolutions can be imported")
        )
    side = network.table.size // math.prod(layer.stride for layer in network.layers)
    with torch.no_grad():
        arrays = [_read(files[number]) for number in range(1, len(wanted) + 1)]
        wrong = [
            f"{files[number].name} is of shape {array.shape} instead of {shape}"
            for number, (array, (_, shape)) in enumerate(zip(arrays, wanted, strict=True), 1)
            if array.shape != shape
        ]
        if wrong:
            raise UserError(f"{folder} is of no {network.config['architecture']}: {'; '.join(wrong)}")
        for array, (parameter, _) in zip(arrays, wanted, strict=True):
            parameter.copy_(_converted(torch.from_numpy(array.astype(np.float32)), side))
        if layers is not None:
            network.head.weight.zero_()
    return network


def _files(folder: Path) -> dict[int, Path]:
    """The arrays' files by number, from 1."""
    found = [(match, path) for path in sorted(folder.glob("*.npy")) if (match := NAME.fullmatch(path.name))]
    sets = {match[1] for match, _ in found}
    if not found:
        raise UserError(f"{folder} holds no *_discrim_params.jl_01.npy: it is not a folder of the authors' arrays")
    if len(sets) > 1:
        raise UserError(f"{folder} holds several networks, {', '.join(sorted(sets))}: give each a folder of its own")
    files = {int(match[2]): path for match, path in found}
    if 1 not in files:
        raise UserError(f"{folder} lacks {sets.pop()}_01.npy, the first convolution's weights")
    return files


def _read(path: Path) -> np.ndarray:
    try:
        # Mapped first: what a header claims must be there, and is no pickle.
        array = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError, OverflowError) as error:
        raise UserError(f"{path} is no array of numbers ({shorten(str(error), LONGEST_REASON)})") from None
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise UserError(f"{path} holds {array.dtype} values that are not all finite numbers")
    return array


def _wanted(network: Discriminator, whole: bool) -> list[tuple[Tensor, tuple[int, ...]]]:
    """Each parameter in the authors' order, with the shape of its array."""
    wanted: list[tuple[Tensor, tuple[int, ...]]] = []
    for conv, norm in zip(network.convs, network.norms, strict=True):
        wanted += [(each, tuple(each.shape)) for each in (*conv.parameters(), *norm.parameters())]
    if whole:
        wanted.append((network.head.weight, (network.head.weight.shape[1], 1)))
    return wanted


def _converted(array: Tensor, side: int) -> Tensor:
    if array.ndim == 4:
        return array.flip(2, 3)
    if array.ndim == 2:  # its rows are the maps flattened (C, H, W); ours are flattened by place
        return array.view(-1, side, side).permute(1, 2, 0).reshape(1, -1)
    return array
