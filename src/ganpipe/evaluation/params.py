"""Settings of `evaluate`."""

import math

from pydantic import Field, field_validator

from ganpipe.corpus.catalogue import CATALOGUE
from ganpipe.settings import Section


class EvaluateParams(Section):
    """What is measured, and how the classifier is chosen."""

    datasets: list[str] = Field(min_length=1, description="labelled sets of the catalogue; one stage each")
    weights: str | None = Field(description="folder of another discriminator to measure; null: the pipeline's own")
    C: list[float] = Field(
        min_length=1, description="candidates for the SVM's C, the best on the validation split wins"
    )
    validation: float = Field(gt=0, lt=1, description="share of the training set that C is chosen on")
    tolerance: float = Field(gt=0, lt=1, description="duality gap, relative to the objective, at which the SVM stops")
    seed: int = Field(ge=0, description="of the validation split and of the randomly initialised discriminator")

    @field_validator("datasets")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in CATALOGUE:
                raise ValueError(f"there is no labelled set {name!r}, choose from {', '.join(CATALOGUE)}")
        return names

    @field_validator("C")
    @classmethod
    def _positive(cls, candidates: list[float]) -> list[float]:
        if not all(0 < value < math.inf for value in candidates):
            raise ValueError("every C must be a number above 0")
        if len(set(candidates)) < len(candidates):
            raise ValueError("each C must be named once")
        return sorted(candidates)
