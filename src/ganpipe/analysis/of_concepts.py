"""Of a generator of images: what it forgets, and what its noise adds up to, by attributes or by samples picked by hand.

Files name samples by their numbers, those of `ganpipe sample --count CANDIDATES --seed SEED`, for one generator only.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ganpipe.analysis import attributes, boxes, concepts, labels
from ganpipe.analysis.arithmetic import arithmetic
from ganpipe.analysis.boxes import Box
from ganpipe.analysis.concepts import Picked
from ganpipe.analysis.forget import forget
from ganpipe.analysis.found import Analysis
from ganpipe.analysis.handwritten import Drawn
from ganpipe.analysis.params import ConceptsParams
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models import draws
from ganpipe.models.networks import AVERAGE, GENERATOR
from ganpipe.models.store import load_config, load_discriminator, load_generator
from ganpipe.runtime import mix_seed

OTHERS, KNOWN = 100, 101  # streams under the seed, beside those of `of_images`
BASES = 5  # z that arithmetic's turns are tried on
MORE = 64  # z that attributes' directions are tried on


class Asked(NamedTuple):
    """What the files that the settings name ask for; None where they name none."""

    boxes: list[Box] | None
    picked: Picked | None


def read_files(params: ConceptsParams, weights: Path, device: torch.device) -> Asked:
    """UserError where one is not as it should be, or of the samples of another model."""
    generator = load_generator(weights, device, params.average)
    checksum = load_config(weights)["sha256"][GENERATOR + (AVERAGE if params.average else "")]
    drawn, boxed, picked = Drawn(checksum, params.seed), None, None
    if params.forget not in (None, *boxes.DETECTORS):
        count = min(params.forget_samples, params.candidates)
        boxed = boxes.read("analyse.forget", Path(str(params.forget)), count, generator.table.size, drawn)
    if params.concepts is not None:
        path = Path(params.concepts)
        picked = concepts.read("analyse.concepts", path, params.candidates, drawn, params.attributes)
    return Asked(boxed, picked)


def of_concepts(
    found: Analysis,
    params: ConceptsParams,
    asked: Asked,
    weights: Path,
    corpus: Images,
    raw: Path | None,
    device: torch.device,
) -> None:
    """Add what the settings ask for. `raw` is the folder that the corpus was made of: attributes are read there."""
    generator, distribution = load_generator(weights, device, params.average), load_config(weights)["train"]["noise"]
    z = draws.noise(params.candidates, generator.latent, distribution, params.seed)
    others = draws.noise(MORE, generator.latent, distribution, mix_seed(params.seed, OTHERS))
    some = z[: params.forget_samples]
    if asked.boxes is not None:
        forget(found, generator, some, asked.boxes, params.seed, device)
    elif params.forget is not None:
        find = partial(boxes.find, what=params.forget)
        forget(found, generator, some, find(draws.drawn(generator, some, device)), params.seed, device, find)
    scores: dict[str, np.ndarray] = {}
    if params.attributes:
        if raw is None:
            raise UserError("analyse.attributes names some, but this study does not say where their images came from")
        rows = np.random.default_rng([params.seed, KNOWN]).permutation(corpus.rows("train"))[: params.labelled]
        facts = labels.facts(corpus, Images(raw), rows)
        known = {name: labels.truth(labels.parse(name), facts) for name in params.attributes}
        judge = attributes.learn(
            load_discriminator(weights, device, params.average), corpus.pixels(rows), known, params.seed, device
        )
        scores = attributes.attributes(found, generator, judge, z, others, params.stops, params.reach, device)
    if asked.picked is not None:
        chosen = attributes.exemplars(asked.picked.concepts, scores)
        arithmetic(found, generator, z, others[:BASES], asked.picked, chosen, params.stops, params.seed, device)
