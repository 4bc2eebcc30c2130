"""A hash made for what near-duplicates differ by: the linear denoising autoencoder's code, in closed form.

The paper's autoencoder meets noise on single pixels; copies of an image differ by compression, scale and place. Here
the noise is those perturbations. The code's units are the directions in which images differ most, in relation to
how far perturbations move them (generalised eigenvectors of the two covariances: Fisher's discriminant with an image a
class), so that they are uncorrelated under both; each is active on half of the images.
"""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganpipe.corpus.images import square
from ganpipe.dedupe.perturb import PERTURBATIONS
from ganpipe.dedupe.projection import RESIZE, SIZE, Projection
from ganpipe.progress import Progress

NOISE = ("jpeg_75", "resize_0.8", "shift_1", "crop_0.95", "brightness", "contrast", "blur")
IMAGES, PERTURBED = 20_000, 2_000  # at most, that the two covariances are of
FEWEST = 500  # copies; of few images there are several
ENOUGH = 2_000  # images to tell how images differ; of fewer, what is known of photographs fills the gap
TO_GREY = 10  # mid-grey images that the mean of few ones is taken with
BLOCK = 2_000
FREQUENCIES = 12  # of the cosine transform, in each direction; what is finer does not survive a shift by a pixel
FLOOR = 1e-4  # of the mean variance, that every direction is moved by: else few images name chance ones


def fit(bits: int, seed: int, count: int, read: Callable[[np.ndarray], np.ndarray]) -> Projection:
    """The hash of `count` squares, `read` taking indices to uint8 (n, 32, 32, 3). Deterministic by seed."""
    order = np.random.default_rng([seed, 0]).permutation(count)
    basis = cosines().double()
    total = basis.shape[1]
    chosen = np.sort(order[:IMAGES])

    # How images differ.
    features = torch.cat([_features(read(part), basis) for part in np.array_split(chosen, -(-len(chosen) // BLOCK))])
    centred = features - features.mean(0)
    spread = centred.T @ centred / len(features)

    # How perturbations move them.
    copied = np.sort(np.resize(order, max(FEWEST, min(count, PERTURBED))))
    moved = torch.zeros(total, total, dtype=torch.float64)
    with Progress("perturbing", len(NOISE), "perturbations") as progress:
        originals = read(copied)
        before = _features(originals, basis)
        for number, name in enumerate(NOISE):
            source = np.random.default_rng([seed, 1, number])
            after = [square(PERTURBATIONS[name](Image.fromarray(each), source), SIZE, RESIZE) for each in originals]
            apart = _features(np.stack(after), basis) - before
            moved += apart.T @ apart / (len(NOISE) * len(copied))
            progress.advance()

    # What is known of photographs, where there are few.
    if (share := count / ENOUGH) < 1:
        known, scale = natural(), spread.trace().clamp_min(1.0)
        spread, moved = (share * own + (1 - share) * scale * of for own, of in zip((spread, moved), known, strict=True))

    # The directions, the best first, and the middle of each.
    least = FLOOR * (spread.trace() + moved.trace()).clamp_min(1e-6) / total
    moved += least * torch.eye(total, dtype=torch.float64)
    lower = torch.linalg.cholesky(moved)
    half = torch.linalg.solve_triangular(lower, spread, upper=False)
    both = torch.linalg.solve_triangular(lower, half.T, upper=False)
    vectors = torch.linalg.eigh((both + both.T) / 2).eigenvectors.flip(1)[:, :bits]
    vectors = torch.linalg.solve_triangular(lower.T, vectors, upper=True)
    vectors /= (basis @ vectors).norm(dim=0)
    # A direction and its opposite are one; the sign that a library happens to give must not decide.
    vectors *= torch.where(vectors.gather(0, vectors.abs().argmax(0, keepdim=True)) < 0, -1.0, 1.0)
    sums = features @ vectors
    # Of few images each median is the sum of one of them, whose bits would then hang by a thread.
    middle = sums.median(0).values if count >= ENOUGH else sums.sum(0) / (count + TO_GREY)
    return Projection(((basis @ vectors) / 127.5).float(), (-middle - (basis @ vectors).sum(0)).float())


def cosines() -> Tensor:
    """Orthonormal: (3072, 3 * 12 * 12), each column a cosine along rows times one along columns, in one colour."""
    places, waves = torch.arange(SIZE) + 0.5, torch.arange(FREQUENCIES)
    one = torch.cos(torch.pi / SIZE * places[:, None] * waves) * (2 / SIZE) ** 0.5
    one[:, 0] /= 2**0.5
    return torch.einsum("iu,jv,cd->ijcuvd", one, one, torch.eye(3)).reshape(3 * SIZE * SIZE, -1)


def natural() -> tuple[Tensor, Tensor]:
    """How photographs differ and how a shift by a pixel moves them, (432, 432), of trace 1 and in proportion.

    Their power falls with the square of the frequency, and their colours go together (Field, Relations between the
    statistics of natural images, 1987); a shift turns a wave's phase in proportion to its frequency.
    """
    waves = torch.arange(FREQUENCIES, dtype=torch.float64)
    squared = waves[:, None] ** 2 + waves**2
    colours = 0.9 * torch.ones(3, 3, dtype=torch.float64) + 0.1 * torch.eye(3, dtype=torch.float64)
    spread, moved = (torch.kron(torch.diag(each.flatten()), colours) for each in _powers(squared))
    return spread / spread.trace(), moved / spread.trace()


def _powers(squared: Tensor) -> tuple[Tensor, Tensor]:
    power = 1 / (1 + squared)
    return power, power * (torch.pi / SIZE) ** 2 * (1 + squared)


def _features(squares: np.ndarray, basis: Tensor) -> Tensor:
    return (torch.from_numpy(squares).flatten(1).float() / 127.5 - 1).double() @ basis
