"""Settings of `analyse`, of each kind of model. `kind` says which it is."""

from typing import Annotated, Any, Literal

from pydantic import Field

from ganpipe.settings import Section


class Analysing(Section):
    """What is looked at in a trained GAN, beside its accuracy."""

    average: bool = Field(description="look at the averaged weights, which train.average kept")
    seed: int = Field(ge=0, description="of z, of what is dropped, and of the images that are drawn")

    @classmethod
    def variant(cls, settings: dict[str, Any]) -> type[Any]:
        """The model of the kind that the settings name."""
        return KINDS.get(str(settings.get("kind")), AnalyseParams) if cls is Analysing else cls


class AnalyseParams(Analysing):
    """Of images from noise."""

    kind: Literal["images"] = Field(description="what the model makes: images, concepts, numbers or pairs")
    walks: int = Field(ge=0, le=100, description="walks from one z to another, a row of the picture each; 0: none")
    stops: int = Field(ge=2, le=100, description="samples along a walk, its ends among them")
    path: Literal["linear", "slerp"] = Field(description="straight through z's space, or along a great circle of it")
    truncations: list[Annotated[float, Field(ge=0.01)]] = Field(
        description="bounds of z's numbers, a row of samples each; of uniform noise at most 1; []: none"
    )
    samples: int = Field(ge=0, le=100_000, description="samples that are compared with the training images; 0: none")
    held_out: str | None = Field(
        description="images that the training did not see, compared with the training images, too: one of "
        "evaluate.datasets, whose test images they are; auto: those of preprocess.held_out, else of the first of those "
        "sets by name; null: none"
    )
    by_step: bool = Field(description="compare the generators that train.keep_every kept, too")
    classifier: str | None = Field(
        description="one of evaluate.datasets, on whose labels a classifier is trained that tells what samples show"
    )
    filters: int = Field(ge=0, le=64, description="of the last convolution, whose favourite images are shown; 0: none")


class ConceptsParams(AnalyseParams):
    """Of images from noise, and of the concepts that they show, such as smiles on faces or windows in rooms."""

    kind: Literal["concepts"]  # type: ignore[assignment]
    candidates: int = Field(
        ge=1,
        le=100_000,
        description="samples that files name by number, and attributes rank: those of `ganpipe sample`",
    )
    forget: str | None = Field(description="what is not to be drawn: eyes, smiles, or a file of boxes; null: nothing")
    forget_samples: int = Field(ge=2, description="of the candidates, that are searched or boxed; 150 in the paper")
    attributes: list[str] = Field(description="facts of the images, such as smiling, gender=male, age>50; []: none")
    labelled: int = Field(ge=100, description="training images that attributes are learned from and tested on")
    reach: float = Field(gt=0, description="of an attribute's walk, in standard deviations of z's numbers")
    concepts: str | None = Field(description="a file of concepts, sums and turns; null: none")


class NumbersParams(Analysing):
    """Of numbers from noise."""

    kind: Literal["numbers"]
    samples: int = Field(ge=100, le=10_000_000, description="numbers whose moments and distribution are measured")


class PairsParams(Analysing):
    """Of images from images."""

    kind: Literal["pairs"]
    split: str = Field(description="of the corpus, whose pairs are measured: one that the training does not see")
    statistics: Literal["image", "frozen"] = Field(
        description="what batch normalisation uses: each image's own, as published, or averages over the training pairs"
    )
    dropout: bool = Field(description="whether units are dropped as in training, as published")
    shown: int = Field(ge=1, le=100, description="pairs in the picture")


KINDS: dict[str, type[Analysing]] = {
    "images": AnalyseParams,
    "concepts": ConceptsParams,
    "numbers": NumbersParams,
    "pairs": PairsParams,
}
