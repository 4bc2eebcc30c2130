"""How far generated images lie from real ones, told from features of both: FID, KID, improved precision and recall.

Features (n, d) are read in blocks of rows, in double precision; nothing of size n x n or a second n x d is held.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganpipe.errors import UserError
from ganpipe.progress import Progress

ROWS = 4096  # of features at a time; the distances between two such blocks take 128 MB
SUBSET, SUBSETS = 1000, 100  # images in a subset, and subsets, of KID (Bińkowski et al. 2018)
NEIGHBOURS = 3  # whose farthest is an image's radius (Kynkäänniemi et al. 2019)
FEWEST = NEIGHBOURS + 1  # images that have so many neighbours
ROUNDING = 1e-13  # of |a|^2 + |b|^2: what is left of |a - b|^2 where a = b


class Moments(NamedTuple):
    """Mean (d,) and unbiased covariance (d, d), float64."""

    mean: Tensor
    covariance: Tensor


def distances(real: Tensor, generated: Tensor, name: str, seed: int) -> dict[str, float]:
    """Every figure of features (n, d) of real and of generated images, flat, under names that end in `name`.

    A warning is printed where there are fewer images than features.
    """
    for kind, features in (("real", real), ("generated", generated)):
        if len(features) < FEWEST:
            raise UserError(f"there are {len(features)} {kind} images: {FEWEST} are the fewest that can be compared")
        if not all(bool(torch.isfinite(block).all()) for block in torch.split(features, ROWS)):
            raise UserError(f"features of the {kind} images hold NaN or infinity, so nothing can be measured on them")
    fewest, columns = min(len(real), len(generated)), real.shape[1]
    if fewest <= columns:
        print(
            f"warning: {fewest:,} images give covariances of less than full rank to {columns:,} features: compare this "
            "FID only with those of as many images",
            flush=True,
        )
    mean, error = kid(real, generated, seed)
    precision, recall = precision_recall(real, generated)
    found = {
        "fid": fid(moments(real), moments(generated)),
        "kid": mean,
        "kid_error": error,
        "precision": precision,
        "recall": recall,
    }
    return {f"{metric}_{name}": value for metric, value in found.items() if value is not None}


def moments(features: Tensor) -> Moments:
    """In two passes, the second over centred features."""
    columns = features.shape[1]
    mean = torch.zeros(columns, dtype=torch.float64, device=features.device)
    for block in torch.split(features, ROWS):
        mean += block.double().sum(0)
    mean /= len(features)
    covariance = torch.zeros(columns, columns, dtype=torch.float64, device=features.device)
    for block in torch.split(features, ROWS):
        centred = block.double() - mean
        covariance.addmm_(centred.T, centred)
    return Moments(mean, covariance / (len(features) - 1))


def fid(real: Moments, generated: Moments) -> float:
    """Squared Fréchet distance of two Gaussians: |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) (Heusel et al. 2017, eq. 6).

    S S' has the eigenvalues of the symmetric S^(1/2) S' S^(1/2), and with S = V W V' those of
    (V W^(1/2))' S' (V W^(1/2)): real, and at least 0 but for rounding, whatever the rank.
    """
    values, vectors = torch.linalg.eigh(real.covariance)
    root = vectors * values.clamp_min(0).sqrt()
    product = root.T @ generated.covariance @ root
    shared = torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()
    apart = (real.mean - generated.mean).square().sum()
    return max(0.0, float(apart + real.covariance.trace() + generated.covariance.trace() - 2 * shared))


def kid(real: Tensor, generated: Tensor, seed: int) -> tuple[float, float | None]:
    """Mean of `mmd` over seeded subsets, and its standard error; None where all images are the only subset."""
    size = min(SUBSET, len(real), len(generated))
    count = 1 if size == max(len(real), len(generated)) else SUBSETS
    source = np.random.default_rng(seed)
    found = []
    with Progress("KID", count, "subsets") as progress:
        for _ in range(count):
            pair = (features[_draw(source, len(features), size, features)] for features in (real, generated))
            found.append(mmd(*(part.double() for part in pair)))
            progress.advance()
    return float(np.mean(found)), float(np.std(found, ddof=1) / count**0.5) if count > 1 else None


def _draw(source: np.random.Generator, count: int, size: int, features: Tensor) -> Tensor:
    return torch.from_numpy(source.choice(count, size, replace=False)).to(features.device)


def mmd(x: Tensor, y: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel (x.y / d + 1)^3 (Bińkowski et al. 2018, eq. 4)."""
    within = 0.0
    for rows in (x, y):
        kernel = _cubic(rows, rows)
        within += float(kernel.sum() - kernel.trace()) / (len(rows) * (len(rows) - 1))
    return within - 2 * float(_cubic(x, y).mean())


def _cubic(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def precision_recall(real: Tensor, generated: Tensor) -> tuple[float, float]:
    """Shares of the generated images among the real ones, and of the real among the generated.

    An image is among others where it is no farther from one of them than that one's third nearest neighbour is.
    """
    return _share_among(generated, real, "precision"), _share_among(real, generated, "recall")


def _share_among(points: Tensor, centres: Tensor, label: str) -> float:
    inside = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    with Progress(label, len(centres), "images") as progress:
        for block in torch.split(centres, ROWS):
            here = block.double()
            radii = _radii(here, centres)
            for start in range(0, len(points), ROWS):
                rows = slice(start, start + ROWS)
                inside[rows] |= (_squares(here, points[rows].double()) <= radii[:, None]).any(0)
            progress.advance(len(block))
    return float(inside.double().mean())


def _radii(block: Tensor, centres: Tensor) -> Tensor:
    """Squared, of rows of the centres: each is nearest to itself."""
    nearest = torch.empty(len(block), 0, dtype=torch.float64, device=block.device)
    for others in torch.split(centres, ROWS):
        candidates = torch.cat([nearest, _squares(block, others.double())], dim=1)
        nearest = candidates.topk(min(FEWEST, candidates.shape[1]), largest=False).values
    return nearest.amax(1)


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances, 0 between equal rows."""
    norms = a.square().sum(1)[:, None] + b.square().sum(1)
    squares = torch.addmm(norms, a, b.T, alpha=-2)
    return squares.masked_fill_(squares <= ROUNDING * norms, 0)
