"""Sums of concepts in z's space, and turns along a line of it (paper, section 6.3.2).

A single z says little of what its picture shows; the mean of three that show the same says more.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ganpipe.analysis.concepts import Picked, Term, spell
from ganpipe.analysis.found import Analysis
from ganpipe.analysis.table import table
from ganpipe.models.draws import drawn
from ganpipe.models.store import Sampler
from ganpipe.runtime import mix_seed

NOISE = 0.25  # uniform, each way, around a sum
AROUND = 8  # samples with noise around one
NOISY = 2  # rows of a turn with noise, below the one without
SUMS, TURNS = range(2)  # independent streams under a seed
Row = list[np.ndarray | None]  # of a picture


def means(z: Tensor, concepts: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The mean z (latent,) of each concept's samples, which are rows of z (n, latent)."""
    return {name: z[list(chosen)].mean(0) for name, chosen in concepts.items()}


def total(terms: Sequence[Term], of: Mapping[str, Tensor]) -> Tensor:
    """The sum of what `of` has under the terms' names."""
    return torch.stack([sign * of[name] for sign, name in terms]).sum(0)


def around(centre: Tensor, count: int, seed: int) -> Tensor:
    """`count` points with noise around z (latent,): (count, latent)."""
    source = torch.Generator().manual_seed(mix_seed(seed))
    return centre + torch.empty(count, len(centre)).uniform_(-NOISE, NOISE, generator=source)


def along(base: Tensor, direction: Tensor, count: int) -> Tensor:
    """Of each row of `base` (n, latent) `count` points on a line with it in the middle: (n, count, latent).

    From half of `direction`, (latent,), before it to half of it behind it.
    """
    return base[:, None] + torch.linspace(-0.5, 0.5, count)[:, None] * direction


def arithmetic(
    found: Analysis,
    generator: Sampler,
    z: Tensor,
    others: Tensor,
    picked: Picked,
    concepts: Mapping[str, Sequence[int]],
    stops: int,
    seed: int,
    device: torch.device,
) -> None:
    """A picture for each sum and each turn. `concepts` are the rows of z of the picked ones; `others` are other z.

    A sum's has a column for each concept, its samples over their mean; then the result, amid eight with noise; and
    below these what the same sum of the pixels gives, as the paper has it. A turn's first row goes from the mean of one
    concept to that of the other, the next have noise, and the last are the same way through `others`.
    """
    mean = means(z, concepts)
    exemplars = {name: drawn(generator, z[list(chosen)], device) for name, chosen in concepts.items()}
    pixels = {name: torch.from_numpy(images).float().mean(0) for name, images in exemplars.items()}
    for number, terms in enumerate(picked.expressions, start=1):
        columns = [
            [*exemplars[name], drawn(generator, mean[name][None], device)[0]]
            for name in dict.fromkeys(name for _, name in terms)
        ]
        centre = total(terms, mean)
        near = around(centre, AROUND, mix_seed(seed, SUMS, number))
        results: Row = list(drawn(generator, torch.cat([near[:4], centre[None], near[4:]]), device))
        in_pixels = total(terms, pixels).round().clamp(0, 255).byte().numpy()
        right: list[Row] = [results[:3], results[3:6], results[6:], [None, in_pixels, None]]
        found.pictures[f"arithmetic_{number}"] = table(_beside(columns, right), spell(terms))
        found.metrics[f"arithmetic_{number}"] = spell(terms)
    for number, (start, end) in enumerate(picked.turns, start=1):
        middle = (mean[start] + mean[end]) / 2
        base = torch.cat([middle[None], around(middle, NOISY, mix_seed(seed, TURNS, number)), others])
        points = along(base, mean[end] - mean[start], stops)
        images = drawn(generator, points.flatten(0, 1), device)
        found.pictures[f"turn_{number}"] = table(np.split(images, len(base)), f"{start} to {end}")
        found.metrics[f"turn_{number}"] = f"{start} to {end}"


def _beside(columns: Sequence[Sequence[np.ndarray]], right: list[Row]) -> list[Row]:
    """Columns that end in the same row, a gap, and a block that ends in it, too."""
    high = max(len(right), *map(len, columns))
    none: Row = [None] * 3
    block = [*[none] * (high - len(right)), *right]
    padded = [[*[None] * (high - len(column)), *column] for column in columns]
    return [[*(column[row] for column in padded), None, *block[row]] for row in range(high)]
