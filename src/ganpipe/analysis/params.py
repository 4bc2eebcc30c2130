"""Settings of `analyse`."""

from typing import Annotated, Literal

from pydantic import Field

from ganpipe.settings import Section


class AnalyseParams(Section):
    """What is looked at in a trained GAN, beside its accuracy."""

    walks: int = Field(ge=0, le=100, description="walks from one z to another, a row of the picture each; 0: none")
    stops: int = Field(ge=2, le=100, description="samples along a walk, its ends among them")
    path: Literal["linear", "slerp"] = Field(description="straight through z's space, or along a great circle of it")
    truncations: list[Annotated[float, Field(ge=0.01)]] = Field(
        description="bounds of z's numbers, a row of samples each; of uniform noise at most 1; []: none"
    )
    samples: int = Field(ge=0, le=100_000, description="samples that are compared with the training images; 0: none")
    held_out: str | None = Field(
        description="one of evaluate.datasets, whose test images are compared with the training images, too; auto: "
        "the first by name; null: none"
    )
    filters: int = Field(ge=0, le=64, description="of the last convolution, whose favourite images are shown; 0: none")
    seed: int = Field(ge=0, description="of z, and of the images that are drawn")
