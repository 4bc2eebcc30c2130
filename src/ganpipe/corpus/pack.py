"""From a source of image files to shards: what is usable, as it is, in a set order; the rest counted, with reasons."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from ganpipe import files
from ganpipe.corpus import faces, shards, sources
from ganpipe.corpus.images import BrokenImage, decode, measure
from ganpipe.corpus.sources import MAX_FILE_BYTES, TOO_LARGE, Entry, Part, Source, read, text
from ganpipe.errors import UserError
from ganpipe.manifest import MANIFEST
from ganpipe.progress import Progress
from ganpipe.runtime import map_batches

BATCH, BATCH_BYTES = 64, 8 << 20  # images, and bytes that are sent with them, read and checked together by one worker
SPLITS = {"train", "val", "valid", "validation", "test"}  # folders of these names are splits
Facts = dict[str, Any]  # width, height, and faces where they are searched
Verdict = tuple[Facts | None, str]  # of a usable image, or None and the reason
Usable = dict[int, tuple[str, Facts]]  # by an entry's place in its source: its name, and what is found of it
Rejected = list[dict[str, str]]  # of each the `name` and the `reason`


@dataclass(frozen=True)
class Arrangement:
    """The order in which images are packed, their labels, and what the manifest says of both."""

    names: list[str]
    labels: Sequence[int | None]
    about: dict[str, Any]


def pack(
    source: Source,
    where: str,
    out: Path,
    about: dict[str, Any],
    arrange: Callable[[list[str]], Arrangement] | None = None,
    detector: str | None = None,
) -> dict[str, float]:
    """Fill `out`; the counts of images and of files set aside. `where` names the source in sentences.

    The order is the source's; where its names say what belongs together (folders that are classes or splits), or
    `arrange` does, theirs: then names are unique. With a `detector` (`faces.find`) each image's JSON has its faces, and
    the counts theirs. UserError where nothing is usable.
    """
    if detector is not None:
        about = {**about, "detector": faces.about(detector)}
    usable, rejected = _sorted_out(source, detector)
    reasons = Counter(entry["reason"] for entry in rejected)
    counts = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
    if not usable:
        raise UserError(
            f"none of the {source.total} files in {where} is a usable image" + (f" ({counts})" if counts else "")
        )

    names = [name for name, _ in usable.values()]
    if arrange is None and source.classes is None:
        arrange = by_folder
    arranged = None if arrange is None else arrange(names)
    images = _in_order(source, usable) if arranged is None else _arranged(source, usable, arranged)

    def packed() -> Iterator[tuple[str, bytes, dict[str, Any], int | None]]:
        with Progress("packing", len(usable), "images") as progress:
            for entry, facts, label in images:
                assert entry.data is not None  # noqa: S101 (it was checked)
                kept = {**entry.facts, "name": text(entry.name), **facts}
                yield _extension(entry.name), read(entry.data), kept, label
                progress.advance()

    told = {"classes": list(source.classes or ()), "splits": {}} if arranged is None else arranged.about
    with files.atomic_folder(out) as draft:
        shards.write_encoded(draft, packed(), {**about, **told, "rejected": rejected})
    if rejected:
        print(f"set aside {len(rejected)} of {source.total} files: {counts}; their names are in {out / MANIFEST}")
    counts_of_faces = {} if detector is None else _face_counts([facts["faces"] for _, facts in usable.values()])
    return {"images": len(usable), "rejected": len(rejected), **counts_of_faces}


def _face_counts(found: list[list[faces.Face]]) -> dict[str, float]:
    """How many there are, and the share of images with any."""
    share = sum(map(bool, found)) / len(found)
    print(f"faces: {sum(map(len, found)):,}, in {share:.1%} of the images")
    return {"faces": sum(map(len, found)), "with_faces": round(share, 4)}


def pack_folder(
    setting: str,
    root: Path,
    out: Path,
    arrange: Callable[[list[str]], Arrangement] | None = None,
    detector: str | None = None,
) -> dict[str, float]:
    """`pack` the images below `root`, which `setting` names."""
    if not root.is_dir():
        raise UserError(f"{setting} is {root}, which is no folder (seen from {Path.cwd()})")
    inside, around = root.resolve(), out.resolve()
    if inside.is_relative_to(around) or around.is_relative_to(inside):
        raise UserError(f"{setting} is {root}, which overlaps the stage's own output {out}: choose another folder")
    source = sources.folder(root)
    if not source.total:
        raise UserError(f"the folder {root} holds no files: put images in it, or set {setting} to another one")
    about = {"name": "folder", "title": source.title, "licence": "the user's own"}
    return pack(source, str(root), out, about, arrange, detector)


def by_folder(names: list[str]) -> Arrangement:
    """Splits and classes by folders, as far as all images lie in such: `train/rose/1.jpg`, `train/1.jpg`, `rose/1.jpg`.

    `names` are in the order of their folders.
    """
    tops = [name.split("/")[0] for name in names] if all("/" in name for name in names) else []
    splits: dict[str, list[int]] = {}
    if len(set(tops)) > 1 and set(tops) <= SPLITS:
        for row, top in enumerate(tops):
            splits.setdefault(top, [row, row])[1] = row + 1
        rest = [name.partition("/")[2] for name in names]
        tops = [name.split("/")[0] for name in rest] if all("/" in name for name in rest) else []
        if tops and "train" in splits and set(tops) > set(tops[slice(*splits["train"])]):
            tops = []  # folders that no training image lies in are no classes, such as `val/images`
    classes = sorted({text(top) for top in tops})
    numbers = {name: number for number, name in enumerate(classes)}
    labels = [numbers[text(top)] for top in tops] if tops else [None] * len(names)
    return Arrangement(names, labels, {"classes": classes, "splits": splits})


def sort_out(root: Path, names: list[str]) -> tuple[dict[str, Facts], Rejected]:
    """The usable images by name, with their facts, and the names of the others, with reasons."""
    absolute = root.absolute()
    source = Source(str(root), len(names), lambda: (Entry(name, Part(absolute / name)) for name in names))
    usable, rejected = _sorted_out(source)
    return dict(usable.values()), rejected


def _sorted_out(source: Source, detector: str | None = None) -> tuple[Usable, Rejected]:
    usable: Usable = {}
    rejected: Rejected = []
    with Progress(f"reading {source.title}", source.total, "files") as progress:
        for place, (entry, (facts, reason)) in enumerate(_checked(source, detector)):
            if facts is None:
                rejected.append({"name": text(entry.name), "reason": reason})
            else:
                usable[place] = (entry.name, facts)
            progress.advance()
    return usable, rejected


def _checked(source: Source, detector: str | None = None) -> Iterator[tuple[Entry, Verdict]]:
    """Each entry, without its bytes, and what is found of it: by a pool of workers, where it is not known."""
    passed: deque[Entry] = deque()  # those on their way through the pool, and what is known between them

    def unknown() -> Iterator[Entry]:
        for entry in source.entries():
            passed.append(entry._replace(data=None))
            if entry.size is None or detector is not None:
                yield entry

    def known() -> Iterator[tuple[Entry, Verdict]]:
        while passed and passed[0].size is not None and detector is None:
            width, height = passed[0].size
            yield passed.popleft(), ({"width": width, "height": height}, "")

    with ExitStack() as stack:
        batches = _batched(unknown(), stack)
        found = map_batches(partial(check, detector=detector), batches, -(-source.total // BATCH))
        for verdict in chain.from_iterable(found):
            yield from known()
            yield passed.popleft(), verdict
    yield from known()


def _batched(entries: Iterator[Entry], stack: ExitStack) -> Iterator[list[Entry]]:
    """Fewer together where they carry many bytes, and very many go to a file: some batches wait for a worker."""
    batch: list[Entry] = []
    carried, scratch = 0, None
    for number, each in enumerate(entries):
        entry = each
        if isinstance(entry.data, bytes) and len(entry.data) > BATCH_BYTES:
            scratch = scratch or stack.enter_context(files.scratch()).absolute()
            (scratch / str(number)).write_bytes(entry.data)
            entry = entry._replace(data=Part(scratch / str(number)))
        batch.append(entry)
        carried += len(entry.data) if isinstance(entry.data, bytes) else 0
        if len(batch) == BATCH or carried > BATCH_BYTES:
            yield batch
            batch, carried = [], 0
    if batch:
        yield batch


def check(entries: list[Entry], detector: str | None = None) -> list[Verdict]:
    """For each its width, height and faces, or None and the reason why it cannot be used."""
    return [_verdict(entry, detector) for entry in entries]


def _verdict(entry: Entry, detector: str | None) -> Verdict:
    try:
        if entry.data is None:
            raise BrokenImage(entry.reason)
        if isinstance(entry.data, Part) and entry.data.length < 0:
            if not entry.data.path.is_file():
                raise BrokenImage("not a file")
            if entry.data.path.stat().st_size > MAX_FILE_BYTES:
                raise BrokenImage(TOO_LARGE)
        if detector is None:
            width, height = measure(read(entry.data))
            return {"width": width, "height": height}, ""
        image = decode(read(entry.data))
        return {"width": image.width, "height": image.height, "faces": faces.find(image, detector)}, ""
    except BrokenImage as broken:
        return None, str(broken)
    except PermissionError:
        return None, "not readable"


Packed = Iterator[tuple[Entry, Facts, int | None]]  # with facts and label


def _in_order(source: Source, usable: Usable) -> Packed:
    for place, entry in enumerate(source.entries()):
        if place in usable:
            yield entry, usable[place][1], entry.label


def _arranged(source: Source, usable: Usable, arranged: Arrangement) -> Packed:
    if arranged.names == [name for name, _ in usable.values()]:
        for (entry, facts, _), label in zip(_in_order(source, usable), arranged.labels, strict=True):
            yield entry, facts, label
        return
    held = {entry.name: (entry, facts) for entry, facts, _ in _in_order(source, usable)}
    for name, label in zip(arranged.names, arranged.labels, strict=True):
        yield *held[name], label


def _extension(name: str) -> str:
    """The file's own extension where it is a plain one and not one of ours, for it becomes part of a name in a tar."""
    extension = Path(name).suffix.lstrip(".").lower()
    plain = extension.isascii() and extension.isalnum() and len(extension) <= 5
    return extension if plain and extension not in ("json", "cls") else "bin"
