"""Settings of `dedupe`."""

from typing import Literal

from pydantic import Field

from ganpipe.settings import Section


class DedupeParams(Section):
    """The semantic hash and what counts as a duplicate."""

    method: Literal["autoencoder", "phash", "dhash", "whash", "none"] = Field(
        description="autoencoder: the paper's semantic hash; phash, dhash, whash: imagehash's; none: keep everything"
    )
    radius: int = Field(ge=0, le=16, description="bits by which the codes of duplicates may differ; 0 in the paper")
    code_bits: int = Field(ge=8, le=1024, multiple_of=8, description="units of the code layer; 128 in the paper")
    steps: int = Field(ge=1, description="updates of the autoencoder")
    batch_size: int = Field(ge=2, description="images in one of its batches")
    learning_rate: float = Field(gt=0, le=1, description="Adam's")
    noise: float = Field(ge=0, le=1, description="standard deviation of the noise on its input, pixels in [-1, 1]")
    dropout: float = Field(ge=0, lt=1, description="share of code units that are dropped in training")
    seed: int = Field(ge=0, description="of weights, batches, noise and dropout")
