"""The containers that images are held in between stages.

Pixels: `images-00000.npy`, ... uint8 NHWC, memory-mapped, with `labels.npy` where there are labels.
Encoded: `shard-00000.tar`, ... in the WebDataset convention (`key.jpg`, `key.json`, `key.cls`), holding original bytes,
with `index.npy`, the place of each image's bytes.
Numbers: `numbers-00000.npy`, ... float32 (n, 1), of a distribution instead of images.
Beside each, `manifest.json` says what is inside: counts, shapes, checksums, splits, classes, licence, rejects.
"""

import io
import json
import math
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from ganpipe import files
from ganpipe.corpus.images import Region, decode, square, squared
from ganpipe.errors import UserError
from ganpipe.manifest import MANIFEST, SCHEMA, anew, read_manifest
from ganpipe.runtime import map_batches

T = TypeVar("T")

SHARD_BYTES = 256 << 20
BATCH = 256  # images decoded together by one worker
UNLABELLED = -1  # in place of an image's label, as Hugging Face's tables have it
Place = tuple[Path, int, int]  # a shard, and offset and length of an image's bytes in it
INDEX = np.dtype([("shard", "<u4"), ("length", "<u4"), ("offset", "<u8")])


def write_pixels(
    folder: Path, batches: Iterable[np.ndarray], count: int, labels: np.ndarray | None, about: dict[str, Any]
) -> None:
    """Write `count` images, given as uint8 (n, H, W, C) batches, as pixel shards with their manifest."""
    _write_arrays(folder, batches, count, labels, about, ("pixels", "images", "uint8"))


def write_numbers(folder: Path, numbers: np.ndarray, about: dict[str, Any]) -> None:
    """Write float32 (N, 1) with its manifest."""
    _write_arrays(folder, [numbers], len(numbers), None, about, ("numbers", "numbers", "float32"))


def _write_arrays(
    folder: Path,
    batches: Iterable[np.ndarray],
    count: int,
    labels: np.ndarray | None,
    about: dict[str, Any],
    form: tuple[str, str, str],
) -> None:
    container, stem, dtype = form
    shards: list[dict[str, Any]] = []
    shape: tuple[int, ...] | None = None
    written = room = 0  # rows in all, and those that the last shard still takes
    for batch in batches:
        if written + len(batch) > count:
            raise ValueError(f"expected {count} images, given more")
        shape, rest = batch.shape[1:] if shape is None else shape, batch
        if (batch.dtype, batch.shape[1:]) != (np.dtype(dtype), shape):
            raise ValueError(f"expected {dtype} of shape {shape}, given {batch.dtype} of {batch.shape[1:]}")
        while len(rest):
            if not room:
                room = min(max(1, SHARD_BYTES // (math.prod(shape) * batch.itemsize)), count - written)
                shards.append({"file": f"{stem}-{len(shards):05}.npy", "rows": room})
                files.begin_array(folder / shards[-1]["file"], (room, *shape), batch.dtype)
            # Written, not mapped: on a full disk a write fails with an error, a mapped page with the process's death.
            files.append_rows(folder / shards[-1]["file"], rest[:room])
            taken, rest = len(rest[:room]), rest[room:]
            room, written = room - taken, written + taken
    if written != count:
        raise ValueError(f"expected {count} images, given {written}")
    extra = [] if labels is None else ["labels.npy"]
    if labels is not None:
        files.save_array(folder / "labels.npy", labels)
    _write_manifest(
        folder,
        {"container": container, "count": count, "shape": [count, *(shape or ())], "dtype": dtype},
        shards,
        extra,
        about,
    )


def write_encoded(
    folder: Path, images: Iterable[tuple[str, bytes, dict[str, Any], int | None]], about: dict[str, Any]
) -> int:
    """Write (extension, original bytes, facts, label) as tar shards with index and manifest; the number of images.

    Where some of the images have a label and others have none, that of the others is `UNLABELLED`.
    """
    shards: list[dict[str, Any]] = []
    index: list[tuple[int, int, int]] = []
    labels: list[int] = []
    tar: tarfile.TarFile | None = None
    for number, (extension, data, facts, label) in enumerate(images):
        if tar is None or tar.offset > SHARD_BYTES:
            if tar is not None:
                tar.close()
            shards.append({"file": f"shard-{len(shards):05}.tar", "rows": 0})
            tar = tarfile.open(folder / shards[-1]["file"], "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (many in turn)
        _add(tar, f"{number:09}.{extension}", data)
        index.append((len(shards) - 1, len(data), tar.offset - -(-len(data) // 512) * 512))
        _add(tar, f"{number:09}.json", _json(facts))
        if label is not None:
            _add(tar, f"{number:09}.cls", str(label).encode())
        labels.append(UNLABELLED if label is None else label)
        shards[-1]["rows"] += 1
    if tar is not None:
        tar.close()
    files.save_array(folder / "index.npy", np.array(index, INDEX))
    extra = ["index.npy"]
    if any(label != UNLABELLED for label in labels):
        files.save_array(folder / "labels.npy", np.array(labels, np.int64))
        extra.append("labels.npy")
    _write_manifest(folder, {"container": "encoded", "count": len(index)}, shards, extra, about)
    return len(index)


def _json(facts: dict[str, Any]) -> bytes:
    """A lone half of a surrogate pair, which is no text, stays as its escape."""
    return json.dumps(facts, sort_keys=True, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # time 0 and owner 0: equal contents make equal shards
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _write_manifest(
    folder: Path, head: dict[str, Any], shards: list[dict[str, Any]], extra: list[str], about: dict[str, Any]
) -> None:
    for shard in shards:
        shard["sha256"] = files.sha256(folder / shard["file"])
    others = [{"file": name, "sha256": files.sha256(folder / name)} for name in extra]
    files.write_json(folder / MANIFEST, {"schema": SCHEMA, **head, **about, "shards": shards, "others": others})


class _File(BaseModel):
    model_config = ConfigDict(strict=True)

    file: str
    sha256: str


class _Contents(BaseModel):
    """What of a manifest is read here."""

    model_config = ConfigDict(strict=True)

    container: Literal["pixels", "encoded", "numbers"]
    count: NonNegativeInt
    shape: list[NonNegativeInt] = []  # of all arrays together; the encoded container has none
    shards: list[_File]
    others: list[_File]
    splits: dict[str, Annotated[list[NonNegativeInt], Field(min_length=2, max_length=2)]] = {}
    classes: list[str] = []


class Images:
    """A folder of any container, read lazily. `splits` maps a name to its (start, stop) rows.

    UserError where there is none, and where its manifest or a file that this names is missing or damaged, as far as
    that shows without reading every byte: `manifest.verified` does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.manifest = folder, read_manifest(folder)
        try:
            held = _Contents.model_validate(self.manifest)
        except ValidationError as error:
            fault = error.errors()[0]
            raise _damaged(folder / MANIFEST, f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
        if wrong := [name for name, (start, stop) in held.splits.items() if not start <= stop <= held.count]:
            raise _damaged(folder / MANIFEST, f"the split {wrong[0]} has other rows than there are")
        self.count, self.classes = held.count, held.classes
        self.splits = {name: (start, stop) for name, (start, stop) in held.splits.items()}
        # Absolute, for a worker on another machine has another current folder.
        self._files = [folder.absolute() / shard.file for shard in held.shards]
        if held.container == "encoded":
            self._index = self._read_index()
        else:
            self._arrays = [_load(path) for path in self._files]
            self._starts = np.cumsum([0] + [len(array) for array in self._arrays])
            form = np.dtype(np.uint8 if held.container == "pixels" else np.float32), held.shape[1:]
            if (
                any((array.dtype, [*array.shape[1:]]) != form for array in self._arrays)
                or self._starts[-1] != self.count
            ):
                raise _damaged(folder / MANIFEST, "its arrays are of another form, or not so many")

    def _read_index(self) -> np.ndarray:
        index = np.array(_load(self.folder / "index.npy"))
        if index.dtype != INDEX or index.shape != (self.count,) or (index["shard"] >= len(self._files)).any():
            raise _damaged(self.folder / "index.npy", "it is of another form")
        sizes = np.array([path.stat().st_size if path.is_file() else 0 for path in self._files], np.uint64)
        if len(short := np.flatnonzero(index["offset"] + index["length"] > sizes[index["shard"]])):
            raise _damaged(self._files[index["shard"][short[0]]], "it is shorter than index.npy says, or not there")
        return index

    def __len__(self) -> int:
        return self.count

    @property
    def name(self) -> str:
        """The set's, or the folder's."""
        return str(self.manifest.get("name", self.folder.name))

    @property
    def digest(self) -> str:
        """Of the contents: equal digests mean equal bytes in every shard."""
        held = self.manifest["shards"] + self.manifest["others"]
        return files.digest([entry["sha256"] for entry in held])

    def rows(self, split: str) -> np.ndarray:
        """The indices of a split, int64; of all images where the set has no splits."""
        if not self.splits:
            return np.arange(self.count)
        if split not in self.splits:
            raise UserError(f"{self.folder} has no split {split}; it has {', '.join(self.splits)}")
        return np.arange(*self.splits[split])

    def labels(self, split: str) -> np.ndarray:
        """The labels of a split, int64; a UserError where the set has none."""
        return self.labels_at(self.rows(split))

    def labels_at(self, indices: np.ndarray) -> np.ndarray:
        """The labels at `indices`, int64, likewise; `UNLABELLED` of an image that has none among others that do."""
        path = self.folder / "labels.npy"
        if not path.exists():
            raise UserError(f"{self.folder} has no labels, so nothing can be evaluated on it: choose a labelled set")
        labels = _load(path)
        if labels.shape != (self.count,) or labels.dtype.kind not in "iu":
            raise _damaged(path, "it is of another form")
        return labels.astype(np.int64)[indices]

    def pixels(self, indices: np.ndarray) -> np.ndarray:
        """The images at `indices` as they are held, uint8 (n, H, W, C); numbers float32 (n, 1). Of no encoded ones."""
        if len(self._arrays) == 1:
            return self._arrays[0][indices]
        shard = np.searchsorted(self._starts, indices, side="right") - 1
        out = np.empty((len(indices), *self._arrays[0].shape[1:]), self._arrays[0].dtype)
        for number in np.unique(shard):
            here = shard == number
            out[here] = self._arrays[number][indices[here] - self._starts[number]]
        return out

    def squares(
        self, indices: np.ndarray, size: int, resize: str, regions: Sequence[Region] | None = None
    ) -> Iterator[np.ndarray]:
        """Batches of uint8 (n, size, size, 3), in the order of `indices`: resized and cropped, in a process pool.

        With `regions` each is that region of its image, squeezed. UserError where numbers are held.
        """
        if self.manifest["container"] == "numbers":
            raise UserError(f"{self.folder} holds numbers, where images are due: set download.name to a set of images")
        starts = range(0, len(indices), BATCH)
        parts = [indices[start : start + BATCH] for start in starts]
        wanted = [None if regions is None else regions[start : start + BATCH] for start in starts]
        work = partial(_squares, size=size, resize=resize)
        if self.manifest["container"] == "encoded":
            places = ([self._locate(index) for index in part] for part in parts)
            yield from map_batches(work, zip(places, wanted, strict=True), len(parts))
        elif regions is None and tuple(self._arrays[0].shape[1:3]) == (size, size):
            yield from map(self.pixels, parts)
        else:
            yield from map_batches(work, zip(map(self.pixels, parts), wanted, strict=True), len(parts))

    def mapped(self, indices: np.ndarray, work: Callable[[Image.Image], T]) -> Iterator[list[T]]:
        """Batches of `work`, a module's function, of each image as it is held, at its full size, in a process pool."""
        parts = [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
        if self.manifest["container"] == "encoded":
            files = ([self._locate(index) for index in part] for part in parts)
            yield from map_batches(partial(_of_files, work=work), files, len(parts))
        else:
            arrays = (self.pixels(part) for part in parts)
            yield from map_batches(partial(_of_arrays, work=work), arrays, len(parts))

    def bytes(self, indices: np.ndarray) -> np.ndarray:
        """The sizes of the images' files, int64 (n,); equal ones in the pixel container."""
        if self.manifest["container"] == "pixels":
            return np.zeros(len(indices), np.int64)
        return np.array([self._locate(index)[2] for index in indices], np.int64)

    def names(self, indices: np.ndarray) -> list[str]:
        """What each image is called: its file's name, or in the pixel container the set's name and the index."""
        if self.manifest["container"] == "pixels":
            return [f"{self.name} #{index}" for index in indices.tolist()]
        numbered = zip(indices.tolist(), self.facts(indices), strict=True)
        return [str(facts.get("name", f"#{index}")) for index, facts in numbered]

    def facts(self, indices: np.ndarray) -> Iterator[dict[str, Any]]:
        """What each image's JSON says; of the encoded container only."""
        for index in indices:
            path, offset, length = self._locate(index)
            with path.open("rb") as file:
                file.seek(offset + -(-length // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
                member = tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
                yield json.loads(file.read(member.size))

    def _locate(self, index: int) -> Place:
        entry = self._index[index]
        return self._files[entry["shard"]], int(entry["offset"]), int(entry["length"])


def _load(path: Path) -> np.ndarray:
    """A .npy file, mapped: what its header claims must be there."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # a damaged header raises nearly anything
        raise _damaged(path, getattr(error, "strerror", None) or error) from None


def _damaged(path: Path, reason: object) -> UserError:
    return UserError(f"{path} is damaged ({' '.join(str(reason).split())}): {anew(path.parent)}")


def _squares(part: tuple[list[Place] | np.ndarray, Sequence[Region] | None], size: int, resize: str) -> np.ndarray:
    held, given = part
    regions: Sequence[Region | None] = given or [None] * len(held)
    made = []
    for image, region in zip(held, regions, strict=True):
        if isinstance(image, np.ndarray):
            made.append(square(Image.fromarray(image), size, resize, region))
        else:
            made.append(squared(_bytes(image), size, resize, region))
    return np.stack(made)


def _of_files(places: list[Place], work: Callable[[Image.Image], T]) -> list[T]:
    return [work(decode(_bytes(place))) for place in places]


def _bytes(place: Place) -> bytes:
    path, offset, length = place
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _of_arrays(images: np.ndarray, work: Callable[[Image.Image], T]) -> list[T]:
    return [work(Image.fromarray(image)) for image in images]
