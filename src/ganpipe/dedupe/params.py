"""Settings of `dedupe`."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ganpipe.settings import Section

LARGEST_RADIUS = 64  # bits


class DedupeParams(Section):
    """The semantic hash, what counts as a duplicate, and which of them stays."""

    method: Literal["whitened", "autoencoder", "phash", "dhash", "whash", "none"] = Field(
        description="whitened: the semantic hash, made for known perturbations; autoencoder: it as in the paper; "
        "phash, dhash, whash: imagehash's; none: keep everything"
    )
    radius: int | str = Field(
        description="bits by which the codes of duplicates may differ; 0 in the paper; auto: the most with few enough "
        "false finds",
    )
    planted: int = Field(ge=0, le=10_000, description="images whose perturbed copies measure the hash; 0: not measured")
    most_false: float = Field(gt=0, lt=1, description="share of false finds that auto allows; 0.01 in the paper")
    verify: bool = Field(description="compare the pixels of those whose codes are near, too, before one goes")
    keep: str = Field(
        pattern=r"^(first|largest|sharpest|prefer:.+)$",
        description="which of a group stays: first, largest, sharpest, or prefer:<folder> for one from that folder",
    )
    tests: bool = Field(description="remove near-duplicates of the evaluation sets' test images, too")
    vetoes: str | None = Field(description="a file of pairs that are no duplicates, as the review page saves it; null")
    code_bits: int = Field(ge=8, le=1024, multiple_of=8, description="units of the code layer; 128 in the paper")
    steps: int = Field(ge=1, description="updates of the autoencoder")
    batch_size: int = Field(ge=2, description="images in one of its batches")
    learning_rate: float = Field(gt=0, le=1, description="Adam's")
    noise: float = Field(ge=0, le=1, description="standard deviation of the noise on its input, pixels in [-1, 1]")
    dropout: float = Field(ge=0, lt=1, description="share of code units that are dropped in training")
    seed: int = Field(ge=0, description="of weights, batches, noise, dropout and planted copies")

    @field_validator("radius")
    @classmethod
    def _bits(cls, radius: int | str) -> int | str:
        if radius != "auto" and not (isinstance(radius, int) and 0 <= radius <= LARGEST_RADIUS):
            raise ValueError(f"Input should be auto or a number from 0 to {LARGEST_RADIUS}")
        return radius

    @model_validator(mode="after")
    def _together(self) -> "DedupeParams":
        if self.radius == "auto" and not self.planted and self.method != "none":
            raise ValueError("radius is auto, which takes planted copies: set planted to 300, or radius to a number")
        if self.method == "whitened" and self.code_bits > 432:
            raise ValueError(f"code_bits is {self.code_bits}: whitened has 432 directions")
        return self
