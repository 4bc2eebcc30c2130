"""The kind of training that goes from one image of a pair to the other: pix2pix (Isola et al. 2017)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ganpipe.corpus.images import grid
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models.dcgan import place
from ganpipe.models.networks import DISCRIMINATOR, GENERATOR, Networks, initialise
from ganpipe.models.norm import freeze_statistics
from ganpipe.models.patch import PatchDiscriminator
from ganpipe.models.pixels import from_network, minibatches, pair
from ganpipe.models.unet import UNet, translate
from ganpipe.runtime import mix_seed
from ganpipe.training.batches import DISTORTION, DROPOUT, WEIGHTS, Corpus, uniform
from ganpipe.training.curves import Row
from ganpipe.training.params import TranslateParams
from ganpipe.training.step import Seen, Step

SHOWN, ACROSS = 8, 2  # pairs in a picture, and beside each other
DRAWS = 3  # of a pair's distortion: where it is cropped, down and across, and whether it is mirrored


class PairBatch(NamedTuple):
    """What a step takes from outside, each process's part of it."""

    given: Tensor  # (n, 3, S, S) in [-1, 1]
    wanted: Tensor


class PairBatches(Corpus):
    """The pairs of each step, enlarged, cropped at a place of their own, half of them mirrored (section 6.2)."""

    def __init__(self, images: Images, params: TranslateParams, size: int, device: torch.device) -> None:
        super().__init__(images, params, device)
        self.pairs, self.size = params, size

    def __call__(self, step: int) -> PairBatch:
        """The batch of that step, on the device."""
        params = self.pairs
        draws = uniform(params.batch_size, DRAWS, params.seed, DISTORTION, step)[self.part]
        whole = self.take(self.rows_of(step))
        if params.enlarged > self.size:
            whole = F.interpolate(whole, (params.enlarged, params.enlarged), mode="bilinear", align_corners=False)
        cropped = [_crop(one, draw, self.size, params.flip) for one, draw in zip(whole, draws.tolist(), strict=True)]
        return PairBatch(*pair(torch.stack(cropped), params.direction))


def _crop(one: Tensor, draws: list[float], size: int, flip: bool) -> Tensor:
    """`size` x `size` of (C, H, W), mirrored where the third draw says so."""
    places = one.shape[-1] - size + 1
    top, left = int(draws[0] * places), int(draws[1] * places)
    cropped = one[:, top : top + size, left : left + size]
    return cropped.flip(2) if flip and draws[2] < 0.5 else cropped


class TranslationStep(Step):
    """A step on a `PairBatch`: the discriminator tells, of what was given, the wanted image from the made one."""

    def __init__(
        self, params: TranslateParams, generator: UNet, discriminator: PatchDiscriminator, precision: torch.dtype
    ) -> None:
        super().__init__(params, generator, discriminator, precision)
        self.params, self.generator, self.discriminator = params, generator, discriminator

    @property
    def drops_out(self) -> bool:
        """Whether a network draws at random what it drops."""
        return True

    def make(self, batch: PairBatch) -> Tensor:
        """What the generator makes of the batch."""
        made: Tensor = self.generator(batch.given)
        return made

    def descend_discriminator(self, batch: PairBatch, made: Tensor) -> Seen:
        """Half the objective, over all patches."""
        real = self.discriminator(batch.given, batch.wanted).float()
        fake = self.discriminator(batch.given, made).float()
        loss = self.objective.discriminator(real, fake) / 2  # it learns half as fast as G (section 3.3)
        real_accuracy, fake_accuracy = self.objective.told_right(real, fake)
        seen = {"loss_d": loss.detach(), "real_accuracy": real_accuracy, "fake_accuracy": fake_accuracy}
        return {**seen, "gradient_d": self.descend(DISCRIMINATOR, loss)}

    def descend_generator(self, batch: PairBatch, made: Tensor) -> Seen:
        """The objective, and how far what was made is from what was wanted."""
        self.discriminator.requires_grad_(False)
        fake = self.discriminator(batch.given, made).float()
        real = fake
        if self.objective.paired:
            with torch.no_grad():
                real = self.discriminator(batch.given, batch.wanted).float()
        loss = self.objective.generator(real, fake)
        away = (batch.wanted - made.float()).abs().mean()
        norm = self.descend(GENERATOR, self.params.gan * loss + self.params.l1 * away)
        self.discriminator.requires_grad_(True)
        return {"loss_g": loss.detach(), "loss_l1": away.detach(), "gradient_g": norm}


class Translation:
    """The `game.Game` of pairs: a corpus uint8 (N, S, S, 6), A's channels before B's."""

    def __init__(self, params: TranslateParams, images: Images, device: torch.device, precision: torch.dtype) -> None:
        self.params, self.images = params, images
        self.generator, discriminator = build(params, device)
        size, held = self.generator.table.size, images.manifest["shape"][1:]
        if held != [size, size, 6]:
            raise UserError(
                f"{params.network} takes pairs of {size}x{size} pixels, not {'x'.join(map(str, held))}: set "
                f"preprocess.crop to pairs and preprocess.side to {size}"
            )
        self.update = TranslationStep(params, self.generator, discriminator, precision)
        self.batches = PairBatches(images, params, size, device)
        others = [name for name in images.splits if name != "train"]
        shown = images.rows(others[0] if others else "train")[:SHOWN]
        self.given, self.wanted = pair(self.batches.take(shown), params.direction)

    @torch.no_grad()
    def draw(self) -> Tensor:
        """What is made of pairs that the training does not see, where there are such."""
        with self.update.autocast():
            made = translate(self.generator, self.given, "image", True, mix_seed(self.params.seed, DROPOUT))
        self.generator.train()
        return made

    def picture(self, drawn: Tensor) -> Image.Image:
        """Of each pair what was given, made and wanted."""
        rows = np.stack([from_network(images) for images in (self.given, drawn, self.wanted)], axis=1)
        return grid(rows.reshape(-1, *rows.shape[2:]), 3 * ACROSS)

    def vitals(self, drawn: Tensor) -> Row:
        """How far that is from what was wanted: the mean difference, as a share of the range of a pixel."""
        return {"l1_shown": float((drawn - self.wanted).abs().mean()) / 2}

    def freeze(self, networks: Networks) -> None:
        """Freeze the statistics that inference uses: averages over the training pairs as they are."""
        for network in networks.values():
            if isinstance(network, UNet):
                network.dropout = False
                freeze_statistics(network, (given for given, _ in self._whole()))
            else:
                freeze_statistics(network, self._whole())

    def _whole(self) -> Iterator[tuple[Tensor, Tensor]]:
        rows = self.images.rows("train")
        for batch in minibatches(len(rows), self.params.batch_size):
            yield pair(self.batches.take(rows[batch]), self.params.direction)


def build(params: TranslateParams, device: torch.device) -> tuple[UNet, PatchDiscriminator]:
    """Both networks as their training starts, their weights determined by the settings alone."""
    source = torch.Generator().manual_seed(mix_seed(params.seed, WEIGHTS))
    generator = UNet(params.width, params.network, params.bottleneck_norm)
    discriminator = PatchDiscriminator(params.width)
    for network in (discriminator, generator):
        initialise(network, source)
        place(network, device)
    return generator, discriminator
