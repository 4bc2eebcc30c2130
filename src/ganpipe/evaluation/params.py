"""Settings of `evaluate`."""

import math
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from ganpipe.corpus.catalogue import FOLDER, LABELLED
from ganpipe.evaluation.features import Levers, Pooling, Scaling
from ganpipe.settings import Section


class EvaluateParams(Section):
    """What is measured, and how the classifier is chosen."""

    datasets: list[str] = Field(min_length=1, description="labelled sets of the catalogue, or `folder`; one stage each")
    path: str | None = Field(description="where `folder` reads from; null where it is none of the sets")
    weights: str | None = Field(description="folder of another discriminator to measure; null: the pipeline's own")
    average: bool = Field(description="measure the averaged weights, where the training kept them")
    layers: list[int] | None = Field(description="which convolutions' features, the first is 1; null: all of them")
    pooling: Pooling = Field(description="of each layer's maps to 4x4")
    flip: bool = Field(description="whether features are the mean over each image and its mirror image")
    scaling: Scaling = Field(description="of the features, before the classifier")
    layer_weights: list[float] | None = Field(
        description="what each layer's scaled features are multiplied by, in the order of layers; null: nothing"
    )
    storage: Literal["memory", "disk"] = Field(description="of the features: fp32 in memory, or fp16 in a file")
    labels_per_class: list[int] = Field(description="measure with so many labels a class, too, over several draws")
    draws: int = Field(ge=2, description="of training images, for each of labels_per_class")
    C: list[float] = Field(
        min_length=1, description="candidates for the SVM's C, the best on the validation split wins"
    )
    validation: float = Field(
        gt=0, description="what C is chosen on: a share of the training set's every class, or a number of images"
    )
    test: bool = Field(description="whether the test set is looked at; false while settings are still chosen")
    by_layer: bool = Field(description="whether each layer's features are measured by themselves, too")
    kept: bool = Field(description="whether the discriminators that train.keep_every kept are measured, too")
    supervised_trials: int = Field(
        ge=0, description="of a random search for the same network trained on the labels; 64 in the paper; 0: no such"
    )
    supervised_steps: int = Field(ge=1, description="batches that a trial of it takes at most")
    duplicates: str | None = Field(
        description="ciFAIR's list of CIFAR's test images that have duplicates in the training set; null: none"
    )
    tolerance: float = Field(gt=0, lt=1, description="duality gap, relative to the objective, at which the SVM stops")
    seed: int = Field(
        ge=0,
        description="of the validation split, draws of few labels, the untrained discriminator, the supervised search",
    )

    @field_validator("datasets")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in LABELLED:
                raise ValueError(f"there is no labelled set {name!r}, choose from {', '.join(LABELLED)}")
        return names

    @model_validator(mode="after")
    def _folder_has_a_path(self) -> Self:
        if FOLDER in self.datasets and not self.path:
            raise ValueError("datasets names folder: set path to the folder that holds its classes")
        if self.path and FOLDER not in self.datasets:
            raise ValueError(f"path is {self.path!r}, but folder is none of datasets: add it, or leave path empty")
        return self

    @model_validator(mode="after")
    def _a_weight_for_each_layer(self) -> Self:
        if self.layers and self.layer_weights and len(self.layers) != len(self.layer_weights):
            raise ValueError(
                f"layer_weights are {len(self.layer_weights)} numbers, but layers names {len(self.layers)}"
            )
        return self

    @property
    def levers(self) -> Levers:
        """How features are taken."""
        layers = None if self.layers is None else tuple(self.layers)
        return Levers(layers, self.pooling, self.flip, self.storage == "disk")

    @field_validator("layers")
    @classmethod
    def _some_layers(cls, layers: list[int] | None) -> list[int] | None:
        if layers is not None and (not layers or min(layers) < 1 or len(set(layers)) < len(layers)):
            raise ValueError("layers are numbers from 1, each once; null, or nothing at all, for all of them")
        return layers

    @field_validator("layer_weights")
    @classmethod
    def _positive_weights(cls, weights: list[float] | None) -> list[float] | None:
        if weights is not None and not all(0 < weight < math.inf for weight in weights):
            raise ValueError("layer_weights are numbers above 0, one for each layer; to leave a layer out, see layers")
        return weights

    @field_validator("labels_per_class")
    @classmethod
    def _some_labels(cls, counts: list[int]) -> list[int]:
        if any(count < 1 for count in counts):
            raise ValueError("labels_per_class are numbers from 1")
        return counts

    @field_validator("validation")
    @classmethod
    def _share_or_number(cls, validation: float) -> float:
        if validation >= 1 and validation != round(validation):
            raise ValueError("validation is a share below 1 or a whole number of images")
        return validation

    @field_validator("C")
    @classmethod
    def _positive(cls, candidates: list[float]) -> list[float]:
        if not all(0 < value < math.inf for value in candidates):
            raise ValueError("every C must be a number above 0")
        if len(set(candidates)) < len(candidates):
            raise ValueError("each C must be named once")
        return sorted(candidates)
