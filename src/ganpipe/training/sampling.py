"""The kind of training that goes from noise to samples: images, or numbers."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cross_entropy

from ganpipe.corpus.images import grid
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.histogram import histogram
from ganpipe.models.dcgan import Discriminator, Generator, fold, place
from ganpipe.models.draws import noise
from ganpipe.models.mlp import PERCEPTRONS, PerceptronDiscriminator, PerceptronGenerator
from ganpipe.models.networks import DISCRIMINATOR, GENERATOR, Networks, initialise
from ganpipe.models.norm import freeze_statistics
from ganpipe.models.pixels import STATISTICS_BATCH, freeze_on, from_network
from ganpipe.runtime import mix_seed
from ganpipe.training import health
from ganpipe.training.augment import augment, rotated
from ganpipe.training.batches import FREEZING, SAMPLES, WEIGHTS, Batch, Batches
from ganpipe.training.curves import Row
from ganpipe.training.params import TrainParams
from ganpipe.training.regularisers import squared_gradient, unit_gradient
from ganpipe.training.step import Seen, Step

SAMPLE_COUNT, SAMPLE_COLUMNS, SAMPLE_SCALE = 64, 8, 2
NUMBERS = 4096  # that are drawn where samples are no images
GENERATOR_BATCHES = 16  # of noise, that the generator's frozen statistics are averaged over
GENERATORS_ROTATION = 0.2  # of the discriminator's weight of rotations (Chen et al. 2019, section 4)


class SamplingStep(Step):
    """A step on a `Batch`: noise becomes samples, and the discriminator tells them from real ones."""

    def __init__(
        self,
        params: TrainParams,
        generator: Generator | PerceptronGenerator,
        discriminator: Discriminator | PerceptronDiscriminator,
        precision: torch.dtype,
    ) -> None:
        super().__init__(params, generator, discriminator, precision)
        self.params, self.generator, self.discriminator = params, generator, discriminator

    @property
    def drops_out(self) -> bool:
        """Whether a network draws at random what it drops."""
        return isinstance(self.generator, PerceptronGenerator) and self.generator.table.dropout > 0

    def make(self, batch: Batch) -> Tensor:
        """What the generator makes of the batch."""
        made: Tensor = self.generator(batch.z)
        return made

    def descend_generator(self, batch: Batch, made: Tensor) -> Seen:
        """The objective, and of the rotation head a part."""
        self.discriminator.requires_grad_(False)  # its weights' gradients would be thrown away
        shown = self._distort(made, batch.distort_fake)
        logits = self.discriminator(shown).float()
        real_logits = logits
        if self.objective.paired:
            with torch.no_grad():
                real_logits = self.discriminator(self._distort(batch.real, batch.distort_real)).float()
        loss = self.objective.generator(real_logits, logits)
        total = loss
        if self.params.rotation:
            total = total + GENERATORS_ROTATION * self.params.rotation * self._rotation_loss(shown, batch)
        norm = self.descend(GENERATOR, total)
        self.discriminator.requires_grad_(True)
        return {"loss_g": loss.detach(), "gradient_g": norm}

    def descend_discriminator(self, batch: Batch, made: Tensor) -> Seen:
        """The objective, what regularises it, and the rotation head's loss."""
        params = self.params
        real = self._distort(batch.real, batch.distort_real)
        fake = self._distort(made, batch.distort_fake)
        if params.r1:
            real = real.detach().requires_grad_()
        if params.r2:
            fake = fake.detach().requires_grad_()
        # Two passes: in one, real and generated images would share batch statistics.
        real_logits, fake_logits = self.discriminator(real).float(), self.discriminator(fake).float()
        loss = self.objective.discriminator(real_logits, fake_logits)
        real_accuracy, fake_accuracy = self.objective.told_right(real_logits, fake_logits)
        seen = {"loss_d": loss.detach(), "real_accuracy": real_accuracy, "fake_accuracy": fake_accuracy}
        total = loss
        if params.r1:
            total = total + params.r1 * squared_gradient(real_logits, real)
        if params.r2:
            total = total + params.r2 * squared_gradient(fake_logits, fake)
        if params.gradient_penalty:
            penalty = unit_gradient(lambda images: self.discriminator(images).float(), real, fake, batch.mix)
            total = total + params.gradient_penalty * penalty
        if params.rotation:
            turning = self._rotation_loss(real, batch)
            total = total + params.rotation * turning
            seen["loss_rotation"] = turning.detach()
        return {**seen, "gradient_d": self.descend(DISCRIMINATOR, total)}

    def _rotation_loss(self, images: Tensor, batch: Batch) -> Tensor:
        assert isinstance(self.discriminator, Discriminator)  # noqa: S101 (the settings say so)
        return cross_entropy(self.discriminator.rotations(rotated(images, batch.turns)).float(), batch.turns)

    def _distort(self, images: Tensor, draws: Tensor) -> Tensor:
        return augment(images, draws) if self.params.augment == "diffaugment" else images


class Sampling:
    """The `game.Game` from noise. The corpus is uint8 (N, S, S, C), or float32 (N, 1) for a network of numbers."""

    def __init__(self, params: TrainParams, images: Images, device: torch.device, precision: torch.dtype) -> None:
        self.params, self.images, self.device = params, images, device
        self.generator, discriminator = build(params, device)
        _refuse_misfit(params, self.generator, images)
        self.update = SamplingStep(params, self.generator, discriminator, precision)
        self.batches = Batches(images, params, device)
        self.of_images = images.manifest["dtype"] == "uint8"
        count = SAMPLE_COUNT if self.of_images else NUMBERS
        self.real = self.batches.take(images.rows("train")[:count])
        self.real_distance = health.mean_distance(self.real) if self.of_images else 0.0
        self.fixed = noise(count, params.latent, params.noise, params.seed, SAMPLES).to(device)

    @torch.no_grad()
    def draw(self) -> Tensor:
        """Samples of the same noise each time."""
        self.generator.train(not self.update.drops_out)
        with self.update.autocast():
            samples: Tensor = self.generator(self.fixed)
        self.generator.train()
        return samples.float()

    def picture(self, drawn: Tensor) -> Image.Image:
        """A grid of images, or where numbers lie."""
        if self.of_images:
            return grid(from_network(drawn), SAMPLE_COLUMNS, SAMPLE_SCALE)
        return histogram(drawn.flatten().cpu().numpy(), self.real.flatten().cpu().numpy())

    def vitals(self, drawn: Tensor) -> Row:
        """Whether samples differ, and are of this world."""
        if self.of_images:
            return health.vitals(drawn, self.real_distance)
        return {"sample_mean": float(drawn.mean()), "sample_deviation": float(drawn.std())}

    def freeze(self, networks: Networks) -> None:
        """Freeze the statistics that inference uses."""
        rows = self.images.rows("train")
        for network in networks.values():
            if isinstance(network, Generator):
                freeze_statistics(network, self._frozen_noise())
            elif isinstance(network, Discriminator):
                freeze_on(fold(network), len(rows), lambda chosen: self.images.pixels(rows[chosen]), self.device)
            else:
                network.eval()

    def _frozen_noise(self) -> Any:
        params = self.params
        for number in range(GENERATOR_BATCHES):
            yield noise(STATISTICS_BATCH, params.latent, params.noise, params.seed, FREEZING, number).to(self.device)


def build(
    params: TrainParams, device: torch.device
) -> tuple[Generator | PerceptronGenerator, Discriminator | PerceptronDiscriminator]:
    """Both networks as their training starts, their weights determined by the settings alone."""
    source = torch.Generator().manual_seed(mix_seed(params.seed, WEIGHTS))
    width, own = params.width, params.generator_width or params.width
    generator: Generator | PerceptronGenerator
    discriminator: Discriminator | PerceptronDiscriminator
    if params.network in PERCEPTRONS:
        generator = PerceptronGenerator(own, params.latent, params.network)
        discriminator = PerceptronDiscriminator(width, params.network)
    else:
        generator = Generator(own, params.latent, params.network)
        discriminator = Discriminator(width, params.network, params.normalisation, params.rotation > 0)
    for network in (discriminator, generator):
        initialise(network, source)
        place(network, device)
    return generator, discriminator


def _refuse_misfit(params: TrainParams, generator: Generator | PerceptronGenerator, images: Images) -> None:
    held, numbers = images.manifest["shape"][1:], images.manifest["dtype"] != "uint8"
    if params.network == "mlp1" or numbers:
        if params.network != "mlp1" or held != [1]:
            what = "numbers" if numbers else "images"
            raise UserError(f"{images.folder} holds {what} of shape {held}, which {params.network} does not take")
        return
    size, channels = generator.table.size, getattr(generator.table, "channels", 3)
    if held != [size, size, channels]:
        raise UserError(
            f"{params.network} takes {size}x{size} images, not {held[0]}x{held[0]}: set preprocess.side to {size}"
            if held[0] != size
            else f"{params.network} takes images of {channels} channels, not {held[2]}: set preprocess.grey to "
            + ("true" if channels == 1 else "false")
        )
