"""Settings for tests: those of params.yaml, made small."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.corpus.params import DownloadParams, PreprocessParams
from ganpipe.corpus.preprocess import preprocess
from ganpipe.corpus.shards import Images
from ganpipe.settings import read_params
from support.graph import ROOT

if TYPE_CHECKING:  # they import torch, and some processes are to stay small
    from ganpipe.training.params import TrainParams, TranslateParams

SMALL = {"width": 2, "latent": 8, "steps": 20, "batch_size": 8, "tick": 4, "sample_every": 10, "precision": "fp32"}


def train_params(**changes: Any) -> "TrainParams":
    """The pipeline's training settings, tiny, with `changes`."""
    from ganpipe.training.params import TrainParams

    return TrainParams.model_validate({**read_params(ROOT / "params.yaml")["train"], **SMALL, **changes})


def download_params(name: str, path: str | None = None, **changes: Any) -> DownloadParams:
    """Those of params.yaml, for these images."""
    return DownloadParams.model_validate(
        {**read_params(ROOT / "params.yaml")["download"], "name": name, "path": path, **changes}
    )


def preprocess_params(**changes: Any) -> PreprocessParams:
    """Those of params.yaml, with `changes`."""
    return PreprocessParams.model_validate({**read_params(ROOT / "params.yaml")["preprocess"], **changes})


def digits_corpus(folder: Path, count: int = 200, **changes: Any) -> Images:
    """The first digits as the train stage gets them: 32x32, in a seeded order."""
    download_entry(find("digits"), folder / "raw")
    preprocess(preprocess_params(**changes), Images(folder / "raw"), np.arange(count), folder / "processed")
    return Images(folder / "processed")


def study_params(name: str, **changes: Any) -> "TrainParams":
    """The training settings of a study, with `changes`."""
    from ganpipe.training.params import TrainParams

    return TrainParams.model_validate({**read_params(ROOT / f"studies/{name}/params.yaml")["train"], **changes})


def translate_params(**changes: Any) -> "TranslateParams":
    """Those of facades, tiny, with `changes`."""
    from ganpipe.training.params import TranslateParams

    small = {"network": "pix2pix128", "width": 2, "enlarged": 143, "steps": 6, "batch_size": 2, "tick": 2}
    settings = {**read_params(ROOT / "studies/facades/params.yaml")["train"], **small}
    return TranslateParams.model_validate({**settings, "sample_every": 4, "precision": "fp32", **changes})
