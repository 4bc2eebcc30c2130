"""Settings of `train`, of each kind of training. What `network` names says which kind it is."""

from typing import Any, Literal

from pydantic import Field, model_validator

from ganpipe.models.mlp import PERCEPTRONS
from ganpipe.models.unet import UNETS
from ganpipe.settings import Section

Schedule = Literal["constant", "linear", "cosine"]
Objective = Literal["non_saturating", "saturating", "hinge", "least_squares", "wasserstein", "relativistic"]
WITH_TARGETS = ("non_saturating", "saturating")  # objectives


class Training(Section):
    """What every kind of training has: its objective, optimisation and reports."""

    network: str
    width: int = Field(ge=1, le=1024, description="filters of the discriminator's first layer; 128 in the paper")

    # The objective.
    objective: Objective = Field(description="both players' losses, see training/losses.py")
    label_smoothing: float = Field(ge=0, lt=1, description="by which real images' target falls below 1")
    smoothing: Literal["target", "loss"] = Field(description="what label_smoothing scales")

    # The optimisation.
    steps: int = Field(ge=1, description="real batches that pass")
    batch_size: int = Field(ge=1, le=65536, description="images in a batch; 128 in the paper")
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
    keep_every: int = Field(ge=0, description="steps between networks that are kept to be probed; 0: none")
    seed: int = Field(ge=0, description="of weights, batches, noise and augmentation")

    @classmethod
    def variant(cls, settings: dict[str, Any]) -> type[Any]:
        """The model of the kind of training that the network is for."""
        if cls is not Training:
            return cls
        return TranslateParams if str(settings.get("network")).startswith("pix2pix") else TrainParams

    @model_validator(mode="after")
    def _has_targets(self) -> "Training":
        if self.label_smoothing and self.objective not in WITH_TARGETS:
            raise ValueError(f"label_smoothing needs a loss with targets, and {self.objective} has none: set it to 0")
        return self


class TrainParams(Training):
    """From noise to samples: images, or numbers."""

    # The networks.
    network: Literal["dcgan32", "dcgan64", "svhn32", "dcgan28", "mlp28", "mlp1"] = Field(
        description="which table of models/dcgan.py or models/mlp.py"
    )
    generator_width: int | None = Field(ge=1, le=1024, description="the generator's width; null: the same")
    latent: int = Field(ge=1, le=4096, description="length of z; 256 in the paper's 32x32 study")
    noise: Literal["uniform", "normal"] = Field(description="z's distribution: uniform in (-1, 1), or N(0, 1)")
    normalisation: Literal["batch", "spectral", "none"] = Field(description="of the discriminator's layers")

    # The objective.
    r1: float = Field(ge=0, description="weight of the squared gradient on real images")
    r2: float = Field(ge=0, description="weight of the squared gradient on generated images")
    gradient_penalty: float = Field(ge=0, description="weight of the penalty on gradients unlike 1 between the two")
    augment: Literal["none", "diffaugment"] = Field(description="distortion of all that the discriminator sees")
    rotation: float = Field(ge=0, description="weight of telling rotations of real images apart; 0: no such head")

    @model_validator(mode="after")
    def _makes_sense(self) -> "TrainParams":
        if self.objective == "wasserstein" and not (self.gradient_penalty or self.normalisation == "spectral"):
            raise ValueError(
                "the wasserstein objective needs gradient_penalty above 0 (with normalisation none), or spectral "
                "normalisation"
            )
        if self.network in PERCEPTRONS and (self.normalisation, self.augment, self.rotation) != ("none", "none", 0):
            raise ValueError(
                f"{self.network} is fully connected: set normalisation and augment to none, and rotation to 0"
            )
        if self.network not in PERCEPTRONS and self.batch_size < 2:
            raise ValueError(f"batch_size is {self.batch_size}, of which batch normalisation takes no statistics")
        if self.gradient_penalty and self.normalisation == "batch":
            # Gulrajani et al. 2017, section 4: the penalty is on each image's gradient, and batch norm mixes images.
            raise ValueError(
                "gradient_penalty needs the discriminator's normalisation to be none or spectral, not batch"
            )
        return self


class TranslateParams(Training):
    """From one image of a pair to the other: pix2pix (Isola et al. 2017)."""

    network: Literal["pix2pix256", "pix2pix128"] = Field(description="which table of models/unet.py")
    direction: Literal["AtoB", "BtoA"] = Field(description="from the left image of a pair to the right one, or back")
    bottleneck_norm: bool = Field(description="whether the generator's 1x1 maps are normalised; useless of one image")

    # The objective.
    gan: float = Field(ge=0, description="weight of the adversarial loss in the generator's; 1 in the paper")
    l1: float = Field(ge=0, description="weight of the mean absolute difference to the true image; 100 in the paper")

    # What is done to pairs on their way.
    enlarged: int = Field(ge=1, description="pixels a side that a pair is resized to before it is cropped; 286 of 256")
    flip: bool = Field(description="whether half of the pairs are mirrored")

    @model_validator(mode="after")
    def _is_larger(self) -> "TranslateParams":
        if self.enlarged < (size := UNETS[self.network].size):
            raise ValueError(f"enlarged is {self.enlarged}, but {self.network} takes {size} pixels a side")
        if not self.gan and not self.l1:
            raise ValueError("gan and l1 are both 0, so that the generator has nothing to learn")
        return self
