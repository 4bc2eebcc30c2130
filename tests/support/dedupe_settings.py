"""The dedupe stage's settings of params.yaml, made small."""

from typing import Any

from ganpipe.dedupe.params import DedupeParams
from ganpipe.settings import read_params
from support.graph import ROOT

SMALL = {"method": "autoencoder", "radius": 0, "planted": 0, "code_bits": 64, "steps": 20, "batch_size": 32}


def dedupe_params(**changes: Any) -> DedupeParams:
    return DedupeParams.model_validate({**read_params(ROOT / "params.yaml")["dedupe"], **SMALL, **changes})
