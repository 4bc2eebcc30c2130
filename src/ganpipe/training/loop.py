"""The training loop: one step after another, and at every tick a row of curves and a checkpoint."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganpipe import files
from ganpipe.corpus.images import grid
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models.dcgan import Discriminator, Generator, fold, initialise, place
from ganpipe.models.norm import freeze_statistics
from ganpipe.models.pixels import STATISTICS_BATCH, freeze_on, from_network, to_network
from ganpipe.progress import Pace, Progress
from ganpipe.runtime import any_of, choose_precision, from_the_first, keep_freed_memory, mix_seed, world
from ganpipe.training import checkpoint, health, kept
from ganpipe.training.batches import FREEZING, SAMPLES, WEIGHTS, Batches, noise
from ganpipe.training.curves import Means, Row
from ganpipe.training.params import TrainParams
from ganpipe.training.signals import Signals
from ganpipe.training.step import Step

SAMPLE_COUNT, SAMPLE_COLUMNS, SAMPLE_SCALE = 64, 8, 2
SHARE_FOR_CHECKPOINTS = 0.01  # of the time
MOST_AT_RISK = 300.0  # seconds of work that a kill may cost, whatever a checkpoint costs
GENERATOR_BATCHES = 64  # of noise, that the generator's frozen statistics are averaged over


@dataclass(frozen=True)
class Trained:
    """What a training yields. All networks have frozen statistics; the averages are there where they were kept."""

    generator: Generator
    discriminator: Discriminator
    generator_average: Generator | None
    discriminator_average: Discriminator | None
    curves: list[Row]
    warnings: list[str]  # sentences of `health`
    samples: dict[int, Path]  # pictures by step
    kept: dict[int, Path]  # discriminators of the way, their statistics frozen, as `kept` writes them, by step
    precision: str


def train(
    params: TrainParams,
    images: Images,
    device: torch.device,
    on_tick: Callable[[Row], None] = lambda row: None,
    on_samples: Callable[[int, Path], None] = lambda step, picture: None,
) -> Trained:
    """Train on `images`, uint8 (N, S, S, 3), or continue where an earlier call with the same settings was stopped.

    `on_tick` gets each row of the curves and `on_samples` each picture, those made before a resume included. Raises
    UserError where the corpus does not fit or the training diverges, KeyboardInterrupt after saving at a signal. Among
    several processes that share the training (`runtime.joined`), each returns the same, and the first one writes.
    """
    # Build the networks and their optimisers.
    keep_freed_memory()
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    precision = choose_precision(params.precision, device)
    generator, discriminator = build(params, device)
    side, size = images.manifest["shape"][1], generator.table.size
    if images.manifest["shape"][1:] != [size, size, 3]:
        raise UserError(
            f"{params.network} takes {size}x{size} images, not {side}x{side}: set preprocess.side to {size}"
        )
    update = Step(params, generator, discriminator, precision)
    batches = Batches(images, params, device)
    means, curves, start = Means(), list[Row](), 0

    # Resume.
    work = checkpoint.folder_for("train", _what_determines(params, images, device, precision))
    if (found := from_the_first(checkpoint.latest(work, params.steps) if _leads() else None)) is not None:
        start, state = found
        update.load_state(state["update"])
        means, curves = Means(state["means"], device), state["curves"]
        _say(f"continuing at step {start:,} of {params.steps:,}; to start anew, remove {work}")
    elif (other := checkpoint.not_continued(work)) is not None:
        _say(f"starting at step 0: {other}")

    # Show what there is.
    some = images.pixels(np.arange(min(SAMPLE_COUNT, len(images))))
    real_distance = health.mean_distance(to_network(torch.from_numpy(some)))
    fixed = noise(SAMPLE_COUNT, params.latent, params.noise, params.seed, SAMPLES).to(device)
    draw = partial(_draw, generator, fixed, precision)
    drawn = draw()
    judges = {"discriminator": discriminator}
    if update.discriminator_average:
        judges["discriminator_average"] = update.discriminator_average.network
    keeping = kept.paths(params, work)
    samples = {step: work / f"samples-{step:09}.png" for step in _sample_steps(params)}
    watch, saving = health.Watch(curves), Pace(SHARE_FOR_CHECKPOINTS, MOST_AT_RISK)

    # From the first file on, a signal is one that saves.
    with Signals() as signals, Progress("training", params.steps, "steps", start, silent=not _leads()) as progress:
        if start in samples and not samples[start].exists():  # also where a longer training was stopped just here
            _save_samples(drawn, samples[start])
        for row in curves:
            on_tick(row)
        for step, picture in samples.items():
            if step <= start:
                on_samples(step, picture)

        # Train.
        for step in range(start, params.steps):
            means.add(update(step, batches(step)))
            done = step + 1
            progress.advance()
            tick, stop = done % params.tick == 0, any_of(signals.caught)
            if tick or done in samples:
                drawn = draw()
            if done in samples:
                _save_samples(drawn, samples[done])
                on_samples(done, samples[done])
            if done in keeping:
                kept.save(keeping[done], judges)
            if tick:
                curves.append(_row(done, means, drawn, real_distance, work))
                progress.note = ", ".join(f"{name} {curves[-1].get(name, 0):.3f}" for name in ("loss_d", "loss_g"))
                on_tick(curves[-1])
                for sentence in watch.look(curves):
                    _say(f"\nwarning: {sentence}")
            if tick or stop or done == params.steps:
                means.share()
                _refuse_divergence(done, means.peek(), work)
                if _leads() and (stop or done == params.steps or saving.due()):
                    with saving:
                        state = {"update": update.state(), "means": means.state(), "curves": curves}
                        checkpoint.save(work, done, state)
            if stop:
                raise KeyboardInterrupt

    # A last, shorter tick is shown but not kept: a longer training would not have it.
    if params.steps % params.tick:
        curves = [*curves, _row(params.steps, means, drawn, real_distance, work)]
        on_tick(curves[-1])

    # Freeze the statistics that inference uses.
    generator_average = update.generator_average.network if update.generator_average else None
    for drawing in filter(None, (generator, generator_average)):
        freeze_statistics(drawing, _frozen_noise(params, device))
    for judging in judges.values():
        freeze_on(fold(judging), len(images), images.pixels, device)
    of_the_way = {}
    for step, path in keeping.items():
        if step < params.steps and (networks := kept.load(path, judges, device)):
            for judging in networks.values():
                freeze_on(fold(judging), len(images), images.pixels, device)
            of_the_way[step] = path.with_name(f"frozen-{path.name}")
            kept.save(of_the_way[step], networks)
    return Trained(
        generator,
        discriminator,
        generator_average,
        judges.get("discriminator_average"),
        curves,
        watch.said,
        samples,
        of_the_way,
        str(precision).removeprefix("torch."),
    )


def build(params: TrainParams, device: torch.device) -> tuple[Generator, Discriminator]:
    """Both networks as their training starts, their weights determined by the settings alone."""
    source = torch.Generator().manual_seed(mix_seed(params.seed, WEIGHTS))
    generator = Generator(params.generator_width or params.width, params.latent, params.network)
    discriminator = Discriminator(params.width, params.network, params.normalisation, params.rotation > 0)
    for network in (discriminator, generator):
        initialise(network, source)
        place(network, device)
    return generator, discriminator


def _frozen_noise(params: TrainParams, device: torch.device) -> Iterator[Tensor]:
    for number in range(GENERATOR_BATCHES):
        yield noise(STATISTICS_BATCH, params.latent, params.noise, params.seed, FREEZING, number).to(device)


def _what_determines(
    params: TrainParams, images: Images, device: torch.device, precision: torch.dtype
) -> dict[str, object]:
    """All that the result follows from. Not the length: a longer training continues a shorter one."""
    # Only a falling learning rate looks ahead to the end.
    looks_ahead = {params.schedule, params.discriminator_schedule} - {None, "constant"}
    return {
        **params.model_dump(exclude=set() if looks_ahead else {"steps"}),
        "images": images.digest,
        "device": device.type,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": str(precision),
        # Sums are split over a CPU's threads and over processes, so their numbers show in the last digits.
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "processes": world()[1],
    }


def _sample_steps(params: TrainParams) -> list[int]:
    return sorted({*range(0, params.steps + 1, params.sample_every), params.steps})


@torch.no_grad()
def _draw(generator: Generator, z: Tensor, precision: torch.dtype) -> Tensor:
    with torch.autocast(z.device.type, precision, precision != torch.float32):
        images: Tensor = generator(z)
    return images.float()


def _save_samples(drawn: Tensor, path: Path) -> None:
    if _leads():
        with files.atomic(path) as draft:
            grid(from_network(drawn), SAMPLE_COLUMNS, SAMPLE_SCALE).save(draft, "PNG")


def _row(step: int, means: Means, drawn: Tensor, real_distance: float, work: Path) -> Row:
    row = {"step": step, **means.take(), **health.vitals(drawn, real_distance)}
    if {"gradient_g", "gradient_d"} <= row.keys():
        row["gradient_ratio"] = row["gradient_g"] / max(row["gradient_d"], 1e-12)
    _refuse_divergence(step, row, work)
    return row


def _refuse_divergence(step: int, row: Row, work: Path) -> None:
    """Before anything is kept of it: a checkpoint is never of a training that is lost."""
    lost = [name for name, value in row.items() if not math.isfinite(value)]
    if lost:
        last = checkpoint.newest(work)
        raise UserError(
            f"the training diverged before step {step:,}: {', '.join(lost)} no longer finite. "
            + (f"The last good checkpoint is {last}. " if last else "There is no checkpoint yet. ")
            + "Lower train.learning_rate, or set train.precision to fp32 if it is not: a new training begins with that"
        )


def _leads() -> bool:
    """Whether this is the one process that writes and speaks."""
    return world()[0] == 0


def _say(text: str) -> None:
    if _leads():
        print(text, flush=True)
