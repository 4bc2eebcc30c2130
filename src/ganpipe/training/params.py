"""Settings of `train`."""

from typing import Literal

from pydantic import Field, model_validator

from ganpipe.settings import Section

Schedule = Literal["constant", "linear", "cosine"]


class TrainParams(Section):
    """The DCGAN's shape, objective, optimisation and reports."""

    # The networks.
    network: Literal["dcgan32", "dcgan64", "svhn32", "dcgan28"] = Field(description="which table of models/dcgan.py")
    width: int = Field(ge=1, le=1024, description="filters of the discriminator's first layer; 128 in the paper")
    generator_width: int | None = Field(ge=1, le=1024, description="the generator's width; null: the same")
    latent: int = Field(ge=1, le=4096, description="length of z; 256 in the paper's 32x32 study")
    noise: Literal["uniform", "normal"] = Field(description="z's distribution: uniform in (-1, 1), or N(0, 1)")
    normalisation: Literal["batch", "spectral", "none"] = Field(description="of the discriminator's layers")

    # The objective.
    objective: Literal["non_saturating", "saturating", "hinge", "least_squares", "wasserstein", "relativistic"] = Field(
        description="both players' losses, see training/losses.py"
    )
    label_smoothing: float = Field(ge=0, lt=1, description="by which real images' target falls below 1")
    smoothing: Literal["target", "loss"] = Field(description="what label_smoothing scales")
    r1: float = Field(ge=0, description="weight of the squared gradient on real images")
    r2: float = Field(ge=0, description="weight of the squared gradient on generated images")
    gradient_penalty: float = Field(ge=0, description="weight of the penalty on gradients unlike 1 between the two")
    augment: Literal["none", "diffaugment"] = Field(description="distortion of all that the discriminator sees")
    rotation: float = Field(ge=0, description="weight of telling rotations of real images apart; 0: no such head")

    # The optimisation.
    steps: int = Field(ge=1, description="real batches that pass")
    batch_size: int = Field(ge=2, le=65536, description="images in a batch; 128 in the paper")
    updates: Literal["alternating", "simultaneous"] = Field(
        description="each real batch drives G or D in turn, as in the authors' code, or both"
    )
    learning_rate: float = Field(gt=0, le=1, description="Adam's; 2e-4 in the paper")
    beta1: float = Field(ge=0, lt=1, description="Adam's first-moment decay; 0.5 in the paper")
    beta2: float = Field(ge=0, lt=1, description="Adam's second-moment decay; 0.999 in the paper")
    schedule: Schedule = Field(description="of the learning rate, see training/schedules.py")
    discriminator_learning_rate: float | None = Field(gt=0, le=1, description="D's own; null: the same")
    discriminator_beta1: float | None = Field(ge=0, lt=1, description="D's own; null: the same")
    discriminator_beta2: float | None = Field(ge=0, lt=1, description="D's own; null: the same")
    discriminator_schedule: Schedule | None = Field(description="D's own; null: the same")
    average: float = Field(ge=0, lt=1, description="decay of the averaged weights of both networks; 0: none are kept")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        description="of convolutions; weights stay fp32. auto: bf16 where the hardware has it"
    )

    # The reports.
    tick: int = Field(ge=1, description="steps between two rows of the curves; a checkpoint is at one of them")
    sample_every: int = Field(ge=1, description="steps between two grids of samples from the same noise")
    keep_every: int = Field(ge=0, description="steps between discriminators that are kept to be probed; 0: none")
    seed: int = Field(ge=0, description="of weights, batches, noise and augmentation")

    @model_validator(mode="after")
    def _makes_sense(self) -> "TrainParams":
        if self.label_smoothing and self.objective not in ("non_saturating", "saturating"):
            raise ValueError(f"label_smoothing needs a loss with targets, and {self.objective} has none: set it to 0")
        if self.objective == "wasserstein" and not (self.gradient_penalty or self.normalisation == "spectral"):
            raise ValueError(
                "the wasserstein objective needs gradient_penalty above 0 (with normalisation none), or spectral "
                "normalisation"
            )
        if self.gradient_penalty and self.normalisation == "batch":
            # Gulrajani et al. 2017, section 4: the penalty is on each image's gradient, and batch norm mixes images.
            raise ValueError(
                "gradient_penalty needs the discriminator's normalisation to be none or spectral, not batch"
            )
        return self
