"""The training loop: batch, discriminator or generator, and at every tick a row of curves and a checkpoint."""

import math
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from ganpipe import files
from ganpipe.corpus.images import grid
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models.dcgan import SIZE, Discriminator, Generator, initialise, place
from ganpipe.models.norm import freeze_statistics
from ganpipe.models.pixels import STATISTICS_BATCH, freeze_on, from_network
from ganpipe.progress import Progress
from ganpipe.runtime import choose_precision, keep_freed_memory, mix_seed
from ganpipe.training import checkpoint
from ganpipe.training.batches import FREEZING, NOISE, SAMPLES, WEIGHTS, RealBatches, noise
from ganpipe.training.curves import Means, Row
from ganpipe.training.params import TrainParams
from ganpipe.training.step import AlternatingStep

SAMPLE_COUNT, SAMPLE_COLUMNS, SAMPLE_SCALE = 64, 8, 2
GENERATOR_BATCHES = 64  # of noise, that the generator's frozen statistics are averaged over


@dataclass(frozen=True)
class Trained:
    """Both networks with frozen statistics, the curves, and the pictures of samples by step."""

    generator: Generator
    discriminator: Discriminator
    curves: list[Row]
    samples: dict[int, Path]
    precision: str


def train(
    params: TrainParams,
    images: Images,
    device: torch.device,
    on_tick: Callable[[Row], None] = lambda row: None,
    on_samples: Callable[[int, Path], None] = lambda step, picture: None,
) -> Trained:
    """Train on `images`, uint8 (N, 32, 32, 3), or continue where an earlier call with the same settings was stopped.

    `on_tick` gets each row of the curves and `on_samples` each picture, those made before a resume included. Raises
    UserError where the corpus does not fit or the training diverges, KeyboardInterrupt after saving at a signal.
    """
    if images.manifest["shape"][1:] != [SIZE, SIZE, 3]:
        side = images.manifest["shape"][1]
        raise UserError(f"the networks take {SIZE}x{SIZE} images, not {side}x{side}: set preprocess.size to {SIZE}")

    # Build the networks and their optimisers.
    keep_freed_memory()
    precision = choose_precision(params.precision, device)
    source = torch.Generator().manual_seed(mix_seed(params.seed, WEIGHTS))
    generator, discriminator = Generator(params.width, params.latent), Discriminator(params.width)
    for network in (discriminator, generator):
        initialise(network, source)
        place(network, device)
    update = AlternatingStep(params, generator, discriminator, precision)
    real = RealBatches(images, params.batch_size, params.seed, device)
    means, curves, start = Means(), list[Row](), 0

    # Resume.
    work = checkpoint.folder_for("train", _what_determines(params, images, device, precision))
    work.mkdir(parents=True, exist_ok=True)
    if (found := checkpoint.latest(work, params.steps)) is not None:
        start, state = found
        update.load_state(state["update"])
        means, curves = Means(state["means"]), state["curves"]
        print(f"continuing at step {start:,} of {params.steps:,}; to start anew, remove {work}", flush=True)

    # Show what there is.
    fixed = noise(SAMPLE_COUNT, params.latent, device, params.seed, SAMPLES)
    samples = {step: work / f"samples-{step:09}.png" for step in _sample_steps(params)}
    if start in samples and not samples[start].exists():  # also where a longer training was stopped just here
        _save_samples(generator, fixed, samples[start])
    for row in curves:
        on_tick(row)
    for step, picture in samples.items():
        if step <= start:
            on_samples(step, picture)

    # Train.
    with _Signals() as signals, Progress("training", params.steps, "steps", start) as progress:
        for step in range(start, params.steps):
            z = noise(params.batch_size, params.latent, device, params.seed, NOISE, step)
            means.add(update(step, real(step), z))
            done = step + 1
            progress.advance()
            if done in samples:
                _save_samples(generator, fixed, samples[done])
                on_samples(done, samples[done])
            tick = done % params.tick == 0
            if tick:
                curves.append(_row(done, means, work))
                progress.note = ", ".join(f"{name} {curves[-1].get(name, 0):.3f}" for name in ("loss_d", "loss_g"))
                on_tick(curves[-1])
            if tick or signals.caught or done == params.steps:
                _refuse_divergence(done, means.peek(), work)
                checkpoint.save(work, done, {"update": update.state(), "means": means.state(), "curves": curves})
            if signals.caught:
                raise KeyboardInterrupt

    # A last, shorter tick is shown but not kept: a longer training would not have it.
    if params.steps % params.tick:
        curves = [*curves, _row(params.steps, means, work)]
        on_tick(curves[-1])

    # Freeze the statistics that inference uses.
    draws = (noise(STATISTICS_BATCH, params.latent, device, params.seed, FREEZING, i) for i in range(GENERATOR_BATCHES))
    freeze_statistics(generator, draws)
    freeze_on(discriminator, len(images), images.pixels, device)
    return Trained(generator, discriminator, curves, samples, str(precision).removeprefix("torch."))


def _what_determines(
    params: TrainParams, images: Images, device: torch.device, precision: torch.dtype
) -> dict[str, object]:
    """All that the result follows from, but for the length: a longer training continues a shorter one."""
    return {
        **params.model_dump(exclude={"steps"}),
        "images": images.digest,
        "device": device.type,
        "precision": str(precision),
        # Sums are split over a CPU's threads, so their number shows in the last digits.
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
    }


def _sample_steps(params: TrainParams) -> list[int]:
    return sorted({*range(0, params.steps + 1, params.sample_every), params.steps})


@torch.no_grad()
def _save_samples(generator: Generator, z: Tensor, path: Path) -> None:
    with files.atomic(path) as draft:
        grid(from_network(generator(z)), SAMPLE_COLUMNS, SAMPLE_SCALE).save(draft, "PNG")


def _row(step: int, means: Means, work: Path) -> Row:
    row = {"step": step, **means.take()}
    _refuse_divergence(step, row, work)
    return row


def _refuse_divergence(step: int, row: Row, work: Path) -> None:
    """Before anything is kept of it: a checkpoint is never of a training that is lost."""
    if not all(math.isfinite(value) for value in row.values()):
        raise UserError(
            f"the training diverged before step {step:,}: {row}. The last good checkpoint is kept in {work}; lower "
            "train.learning_rate, or set train.precision to fp32"
        )


class _Signals:
    """Notes SIGINT and SIGTERM instead of dying of them, so that the step in progress can be finished and saved."""

    def __init__(self) -> None:
        self.caught = False

    def __enter__(self) -> "_Signals":
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.caught:
            raise KeyboardInterrupt  # asked twice: at once, with the last tick's checkpoint
        self.caught = True
