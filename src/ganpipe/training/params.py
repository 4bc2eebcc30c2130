"""Settings of `train`."""

from typing import Literal

from pydantic import Field

from ganpipe.settings import Section


class TrainParams(Section):
    """The DCGAN's size, optimisation and reports."""

    width: int = Field(ge=1, le=1024, description="filters of the discriminator's first layer; 128 in the paper")
    latent: int = Field(ge=1, le=4096, description="length of z, uniform in (-1, 1); 256 in the paper's 32x32 study")
    steps: int = Field(ge=1, description="updates, of G and D in turn; a real batch passes in each")
    batch_size: int = Field(ge=2, le=65536, description="images in a batch; 128 in the paper")
    learning_rate: float = Field(gt=0, le=1, description="Adam's, of both networks; 2e-4 in the paper")
    beta1: float = Field(ge=0, lt=1, description="Adam's first-moment decay; 0.5 in the paper")
    beta2: float = Field(ge=0, lt=1, description="Adam's second-moment decay; 0.999 in the paper")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        description="of convolutions; weights stay fp32. auto: bf16 where the hardware has it"
    )
    tick: int = Field(ge=1, description="steps between two rows of the curves, each with a checkpoint")
    sample_every: int = Field(ge=1, description="steps between two grids of samples from the same noise")
    seed: int = Field(ge=0, description="of weights, batches and noise")
