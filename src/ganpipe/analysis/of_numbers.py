"""Of a generator of numbers: whether they are distributed as they should be."""

import math
from pathlib import Path

import numpy as np
import torch

from ganpipe.analysis.found import Analysis
from ganpipe.analysis.params import NumbersParams
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.histogram import histogram
from ganpipe.models.draws import noise
from ganpipe.models.networks import GENERATOR
from ganpipe.models.store import Sampler, load, load_config
from ganpipe.runtime import mix_seed

BATCH = 65_536


@torch.inference_mode()
def of_numbers(params: NumbersParams, weights: Path, corpus: Images, device: torch.device) -> Analysis:
    """The moments of the generator's numbers, and how far their distribution is from the one they are to have."""
    if "deviation" not in corpus.manifest:
        raise UserError(f"analyse.kind is numbers, but {corpus.folder} holds no draws of a known distribution")
    generator = load(weights, GENERATOR, device, params.average)
    if not isinstance(generator, Sampler):
        raise UserError(f"analyse.kind is numbers, but {weights} holds a generator that makes none")
    z = noise(params.samples, generator.latent, load_config(weights)["train"]["noise"], mix_seed(params.seed))
    numbers = torch.cat([generator(part.to(device)).cpu() for part in torch.split(z, BATCH)]).double().flatten().numpy()
    mean, deviation = corpus.manifest["mean"], corpus.manifest["deviation"]
    found = Analysis(
        {
            **moments(numbers),
            "mean_wanted": mean,
            "deviation_wanted": deviation,
            "ks": kolmogorov_smirnov(numbers, mean, deviation),
        }
    )
    found.pictures["histogram"] = histogram(numbers, corpus.pixels(corpus.rows("train")).flatten())
    return found


def moments(numbers: np.ndarray) -> dict[str, float | str | int]:
    """Mean, standard deviation, skewness and excess kurtosis (0 of a normal distribution) of float64 (n,)."""
    mean, deviation = float(numbers.mean()), float(numbers.std())
    scaled = (numbers - mean) / max(deviation, 1e-12)
    return {
        "mean": mean,
        "deviation": deviation,
        "skewness": float((scaled**3).mean()),
        "kurtosis": float((scaled**4).mean()) - 3,
    }


def kolmogorov_smirnov(numbers: np.ndarray, mean: float, deviation: float) -> float:
    """The largest difference between the numbers' distribution function and the normal one's, in [0, 1]."""
    ordered = np.sort(numbers)
    wanted = np.array([0.5 * (1 + math.erf((value - mean) / (deviation * math.sqrt(2)))) for value in ordered])
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max((steps[1:] - wanted).max(), (wanted - steps[:-1]).max()))
