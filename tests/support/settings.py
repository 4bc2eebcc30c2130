"""Settings for tests: those of params.yaml, made small."""

from pathlib import Path
from typing import Any

import numpy as np

from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.corpus.params import DownloadParams, PreprocessParams
from ganpipe.corpus.preprocess import preprocess
from ganpipe.corpus.shards import Images
from ganpipe.settings import read_params
from ganpipe.training.params import TrainParams
from support.graph import ROOT

SMALL = {"width": 2, "latent": 8, "steps": 20, "batch_size": 8, "tick": 4, "sample_every": 10, "precision": "fp32"}


def train_params(**changes: Any) -> TrainParams:
    """The pipeline's training settings, tiny, with `changes`."""
    return TrainParams.model_validate({**read_params(ROOT / "params.yaml")["train"], **SMALL, **changes})


def download_params(name: str, path: str | None = None, **changes: Any) -> DownloadParams:
    """Those of params.yaml, for these images."""
    return DownloadParams.model_validate(
        {**read_params(ROOT / "params.yaml")["download"], "name": name, "path": path, **changes}
    )


def preprocess_params(**changes: Any) -> PreprocessParams:
    """Those of params.yaml, with `changes`."""
    return PreprocessParams.model_validate({**read_params(ROOT / "params.yaml")["preprocess"], **changes})


def digits_corpus(folder: Path, count: int = 200) -> Images:
    """The first digits as the train stage gets them: 32x32, in a seeded order."""
    download_entry(find("digits"), folder / "raw")
    preprocess(preprocess_params(), Images(folder / "raw"), np.arange(count), folder / "processed")
    return Images(folder / "processed")
