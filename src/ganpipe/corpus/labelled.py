"""The labelled sets to evaluate on: those of the catalogue, or a folder whose own folders are the classes."""

from functools import partial
from pathlib import Path

import numpy as np

from ganpipe.corpus import address
from ganpipe.corpus.catalogue import FOLDER, LABELLED, find
from ganpipe.corpus.download import download_entry, downloads
from ganpipe.corpus.pack import Arrangement, pack_folder
from ganpipe.corpus.params import EvaluationSetsParams
from ganpipe.corpus.sources import text
from ganpipe.errors import UserError

TEST_SHARE, SEED = 0.2, 0  # of each class, where the folder has no test images of its own


def evaluation_set(name: str, params: EvaluationSetsParams, out: Path) -> None:
    """Fill `out` with the labelled set of that name."""
    if name not in LABELLED:
        raise UserError(f"there is no labelled set {name!r}: choose from {', '.join(LABELLED)}")
    if name != FOLDER:
        download_entry(find(name), out)
    elif params.path:
        root = address.local_folder("evaluate.path", params.path, downloads())
        pack_folder("evaluate.path", root, out, partial(_by_class, root))
    else:
        raise UserError("evaluate.datasets names folder: set evaluate.path to the folder that holds its classes")


def _by_class(root: Path, names: list[str]) -> Arrangement:
    """The training images and then those to test on, by class and name.

    Which is which say the folders `train` and `test`, where there are both; otherwise a fifth of each class is drawn.
    """
    given = all((root / split).is_dir() for split in ("train", "test"))
    members: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for name in names:
        split, _, rest = name.partition("/") if given else ("train", "", name)
        if split not in members or "/" not in rest:
            where = "train and test" if given else root
            raise UserError(f"{root / text(name)} belongs to no class: in {where} each class has a folder of its own")
        members[split].setdefault(text(rest.split("/")[0]), []).append(name)
    if given and (empty := [split for split, classes in members.items() if not classes]):
        raise UserError(f"{root / empty[0]} holds no usable image")
    train, test = members.values()
    classes = sorted(train)
    if unknown := sorted(set(test) - set(train)):
        raise UserError(f"{root / 'test'} holds the class {unknown[0]}, which {root / 'train'} lacks")
    if len(classes) < 2:
        raise UserError(f"{root} holds images of one class only, {classes[0]}: nothing can be told apart")
    wanted = "two to train on" if given else "two to train on and one to test on"
    for name, files in train.items():
        if len(files) < (2 if given else 3):
            raise UserError(f"the class {name} in {root} has {len(files)} usable, but needs {wanted}")
    if not given:
        for number, name in enumerate(classes):
            train[name], test[name] = _draw(train[name], number)
    order = [
        (name, number) for split in (train, test) for number, kind in enumerate(classes) for name in split.get(kind, [])
    ]
    boundary = sum(map(len, train.values()))
    about = {
        "classes": classes,
        "splits": {"train": [0, boundary], "test": [boundary, len(order)]},
        "split": "the folder's own" if given else {"drawn": TEST_SHARE, "of": "each class", "seed": SEED},
    }
    return Arrangement([name for name, _ in order], [label for _, label in order], about)


def _draw(names: list[str], number: int) -> tuple[list[str], list[str]]:
    """The others and the drawn ones, each in the order given; of three images at least one is drawn."""
    order = np.random.default_rng([SEED, number]).permutation(len(names))
    drawn = set(order[: max(1, round(TEST_SHARE * len(names)))].tolist())
    return (
        [name for place, name in enumerate(names) if place not in drawn],
        [name for place, name in enumerate(names) if place in drawn],
    )
