"""What a trained GAN shows beside its accuracy: figures, and pictures to look at."""

from pathlib import Path

import torch

from ganpipe.analysis.found import Analysis
from ganpipe.analysis.of_concepts import of_concepts, read_files
from ganpipe.analysis.of_images import of_images
from ganpipe.analysis.of_numbers import of_numbers
from ganpipe.analysis.of_pairs import of_pairs
from ganpipe.analysis.params import AnalyseParams, Analysing, ConceptsParams, NumbersParams, PairsParams
from ganpipe.corpus.shards import Images
from ganpipe.runtime import keep_freed_memory


def analyse(
    params: Analysing,
    weights: Path,
    corpus: Images,
    evaluation: Path,
    device: torch.device,
    raw: Path | None = None,
) -> Analysis:
    """Look at the GAN in `weights`, which was trained on `corpus`, made of `raw`, where its attributes are kept.

    Below `evaluation` lie the sets to evaluate on.
    """
    keep_freed_memory()
    match params:
        case NumbersParams():
            return of_numbers(params, weights, corpus, device)
        case PairsParams():
            return of_pairs(params, weights, corpus, device)
        case ConceptsParams():
            asked = read_files(params, weights, device)  # first: a mistake in one is not to be told after minutes
            found = of_images(params, weights, corpus, evaluation, device)
            of_concepts(found, params, asked, weights, corpus, raw, device)
            return found
        case AnalyseParams():
            return of_images(params, weights, corpus, evaluation, device)
    raise TypeError(f"{type(params).__name__} are settings of no kind of model")
