"""What a generator draws without the feature maps that draw one kind of thing (paper, section 6.3.1).

The paper forgot windows: a logistic regression told, from the maps of the second highest convolution, places inside
boxes drawn around windows from other places of the same images; the maps with weight above zero were dropped.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganpipe.analysis.boxes import Box
from ganpipe.analysis.found import Analysis
from ganpipe.analysis.table import table
from ganpipe.errors import UserError
from ganpipe.models.dcgan import Generator
from ganpipe.models.draws import BATCH
from ganpipe.models.pixels import from_network
from ganpipe.models.store import Sampler

# The highest convolution with maps is the one before the pixels. The paper dropped 200 of the second highest's maps;
# its bedrooms' generator has 128 in the highest and 256 in the one below, so that is the one it means.
SECOND = 2  # from above
C = 1.0  # of the regression's 1/2 |w|^2 + C sum log(1 + exp(-y f)), scikit-learn's default
LEARNED, AT_RANDOM = range(2)  # independent streams under a seed
FOLDS = 5  # of images, each held out once
SHOWN = 12


class Forgetting(NamedTuple):
    """Which maps are dropped, bool (maps,), and how often the regression tells places of held-out images right."""

    dropped: np.ndarray
    accuracy: float


@torch.inference_mode()
def feature_maps(generator: Generator, z: Tensor) -> Tensor:
    """The second highest convolution's maps (n, maps, side, side) of z, after normalisation and ReLU."""
    x = generator.project(z).view(len(z), generator.side, generator.side, -1).permute(0, 3, 1, 2)
    return _upwards(generator, F.relu(generator.project_norm(x)), slice(None, 1 - SECOND))


@torch.inference_mode()
def generate(generator: Generator, z: Tensor, dropped: Tensor) -> Tensor:
    """Images (n, 3, S, S) of z as the generator draws them when the maps of `dropped`, bool (maps,), are 0."""
    maps = feature_maps(generator, z) * ~dropped[:, None, None]
    return torch.tanh(generator.to_pixels(_upwards(generator, maps, slice(1 - SECOND, None))))


def _upwards(generator: Generator, x: Tensor, part: slice) -> Tensor:
    for conv, norm in zip(list(generator.convs)[part], list(generator.norms)[part], strict=True):
        x = F.relu(norm(conv(x)))
    return x


def covered(boxes: Sequence[Box], samples: int, side: int, size: int) -> np.ndarray:
    """Which places of maps of `side` have their centre in a box of an image of `size`: bool (samples, side, side).

    A box too small to hold a centre covers the place that its own centre lies in.
    """
    mask = np.zeros((samples, side, side), bool)
    for box in boxes:
        rows, columns = (_places(ends, side, size) for ends in ((box.top, box.bottom), (box.left, box.right)))
        mask[box.sample, rows, columns] = True
    return mask


def _places(ends: tuple[int, int], side: int, size: int) -> slice:
    first, last = (int(np.ceil(end * side / size - 0.5)) for end in ends)
    middle = int(sum(ends) * side / (2 * size))
    return slice(first, last) if first < last else slice(middle, middle + 1)


def learn(maps: np.ndarray, inside: np.ndarray, seed: int) -> Forgetting:
    """From maps (n, maps, side, side) which of them speak for `inside`, bool (n, side, side).

    Of each image with places inside, as many of its others are drawn, if it has so many. UserError where fewer than
    two images have any of both kinds.
    """
    source = np.random.default_rng([seed, LEARNED])
    rows, truth, image = [], [], []
    for number in np.flatnonzero(inside.any((1, 2))):
        positive, others = np.flatnonzero(inside[number]), np.flatnonzero(~inside[number])
        negative = source.permutation(others)[: len(positive)]
        if len(negative):
            chosen = np.concatenate([positive, negative])
            rows.append(maps[number].reshape(maps.shape[1], -1)[:, chosen].T)
            truth.append(np.arange(len(chosen)) < len(positive))
            image.append(np.full(len(chosen), number))
    if len(rows) < 2:
        raise UserError("the boxes leave fewer than two images with places inside and outside them: draw more boxes")
    X, y, group = np.concatenate(rows).astype(np.float64), np.concatenate(truth), np.concatenate(image)
    X -= X[0]  # the intercept takes it up; a map that is everywhere the same is 0, and gets no weight
    right = np.zeros(len(y), bool)
    for held in np.array_split(source.permutation(np.unique(group)), min(FOLDS, len(rows))):
        out = np.isin(group, held)
        right[out] = _regression(X[~out], y[~out]).predict(X[out]) == y[out]
    return Forgetting(_regression(X, y).coef_[0] > 0, float(right.mean()))


def _regression(X: np.ndarray, y: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=10_000).fit(X, y)


def change(one: np.ndarray, other: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By how many levels images, uint8 (n, S, S, 3), differ on average inside and outside a mask, bool (n, S, S).

    For each image that has pixels of both kinds.
    """
    levels = np.abs(one.astype(np.float32) - other).mean(3)
    of = inside.any((1, 2)) & ~inside.all((1, 2))
    within, without = (np.where(mask, levels, 0).sum((1, 2))[of] / mask.sum((1, 2))[of] for mask in (inside, ~inside))
    return within, without


def forget(
    found: Analysis,
    generator: Sampler,
    z: Tensor,
    boxes: list[Box],
    seed: int,
    device: torch.device,
    find: Callable[[np.ndarray], list[Box]] | None = None,
) -> None:
    """Samples of z as they are, without what the boxes hold, and without as many maps at random: a row each.

    `find` is the detector that found the boxes: how much it finds in the others is told, too.
    """
    if not isinstance(generator, Generator) or len(generator.convs) < SECOND:
        raise UserError("nothing can be forgotten: the generator has no two convolutions with feature maps")
    if not boxes:
        raise UserError("nothing can be forgotten: there are no boxes in the samples, draw some in a file")
    maps = np.concatenate(
        [feature_maps(generator, part.to(device)).float().cpu().numpy() for part in torch.split(z, BATCH)]
    )
    size, side = generator.table.size, maps.shape[2]
    learned = learn(maps, covered(boxes, len(z), side, size), seed)
    random = np.random.default_rng([seed, AT_RANDOM]).permutation(learned.dropped)
    versions = [
        _drawn(generator, z, dropped, device) for dropped in (np.zeros_like(learned.dropped), learned.dropped, random)
    ]
    shown = list(dict.fromkeys(box.sample for box in boxes))[:SHOWN]
    pixels = covered(boxes, len(z), size, size)
    found.metrics |= {
        "forget_boxes": len(boxes),
        "forget_images": len({box.sample for box in boxes}),
        "forget_maps": len(learned.dropped),
        "forget_dropped": int(learned.dropped.sum()),
        "forget_accuracy": learned.accuracy,
    }
    for name, images in zip(("change", "change_random"), versions[1:], strict=True):
        within, without = change(versions[0], images, pixels)
        found.metrics |= {
            f"forget_{name}_inside": float(within.mean()),
            f"forget_{name}_outside": float(without.mean()),
        }
    if find is not None:
        found.metrics |= {"forget_found": len(find(versions[1])), "forget_found_random": len(find(versions[2]))}
    found.pictures["forget"] = table(
        [images[shown] for images in versions], "as drawn; forgotten; as many maps at random"
    )


def _drawn(generator: Generator, z: Tensor, dropped: np.ndarray, device: torch.device) -> np.ndarray:
    mask = torch.from_numpy(dropped).to(device)
    return np.concatenate([from_network(generate(generator, part.to(device), mask)) for part in torch.split(z, BATCH)])
