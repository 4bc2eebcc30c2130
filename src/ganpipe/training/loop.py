"""The training loop: one step after another, and at every tick a row of curves and a checkpoint."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from ganpipe import files
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models.networks import Networks
from ganpipe.progress import Pace, Progress
from ganpipe.runtime import any_of, choose_precision, from_the_first, keep_freed_memory, threads, world
from ganpipe.training import checkpoint, game, health, kept
from ganpipe.training.curves import Means, Row
from ganpipe.training.params import Training
from ganpipe.training.signals import Signals

EARLY = (100, 1000)  # steps at which samples are drawn whatever the setting: most happens at the beginning
SHARE_FOR_CHECKPOINTS = 0.01  # of the time
MOST_AT_RISK = 300.0  # seconds of work that a kill may cost, whatever a checkpoint costs


@dataclass(frozen=True)
class Trained:
    """What a training yields. All networks have frozen statistics; the averages are among them where they were kept."""

    networks: Networks
    curves: list[Row]
    warnings: list[str]  # sentences of `health`
    samples: dict[int, Path]  # pictures by step
    kept: dict[int, Path]  # networks of the way, their statistics frozen, as `kept` writes them, by step
    precision: str


def train(
    params: Training,
    images: Images,
    device: torch.device,
    on_tick: Callable[[Row], None] = lambda row: None,
    on_samples: Callable[[int, Path], None] = lambda step, picture: None,
) -> Trained:
    """Train on `images`, or continue where an earlier call with the same settings was stopped.

    `on_tick` gets each row of the curves and `on_samples` each picture, those made before a resume included. Raises
    UserError where the corpus does not fit or the training diverges, KeyboardInterrupt after saving at a signal. Among
    several processes that share the training (`runtime.joined`), each returns the same, and the first one writes.
    """
    with threads(game.threads(params)):
        return _train(params, images, device, on_tick, on_samples)


def _train(
    params: Training,
    images: Images,
    device: torch.device,
    on_tick: Callable[[Row], None],
    on_samples: Callable[[int, Path], None],
) -> Trained:
    # Build the networks and their optimisers.
    keep_freed_memory()
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    precision = choose_precision(params.precision, device)
    playing = game.choose(params, images, device, precision)
    update = playing.update
    means, curves, start, written = Means(), list[Row](), 0, dict[str, str]()

    # Resume.
    work = checkpoint.folder_for("train", _what_determines(params, images, device, precision))
    if (found := from_the_first(checkpoint.latest(work, params.steps) if _leads() else None)) is not None:
        start, state = found
        update.load_state(state["update"])
        means, curves, written = Means(state["means"], device), state["curves"], state["written"]
        _say(f"continuing at step {start:,} of {params.steps:,}; to start anew, remove {work}")
    elif _leads() and (other := checkpoint.not_continued(work)) is not None:  # no other host need have the folder
        _say(f"starting at step 0: {other}")

    # Show what there is.
    drawn = playing.draw()
    keeping = kept.paths(params, work)
    samples = {step: work / f"samples-{step:09}.png" for step in _sample_steps(params)}
    if _leads():
        checkpoint.refuse_damaged({path: written[path.name] for path in samples.values() if path.name in written})
    watch, saving = health.Watch(curves), Pace(SHARE_FOR_CHECKPOINTS, MOST_AT_RISK)

    # From the first file on, a signal is one that saves.
    with Signals() as signals, Progress("training", params.steps, "steps", start, silent=not _leads()) as progress:
        if start in samples and not samples[start].exists():  # also where a longer training was stopped just here
            _save(playing.picture(drawn), samples[start], written)
        for row in curves:
            on_tick(row)
        for step, picture in samples.items():
            if step <= start:
                on_samples(step, picture)

        # Train.
        for step in range(start, params.steps):
            means.add(update(step, playing.batches(step)))
            done = step + 1
            progress.advance()
            tick, stop = done % params.tick == 0, any_of(signals.caught)
            if tick or done in samples:
                drawn = playing.draw()
            if done in samples:
                _save(playing.picture(drawn), samples[done], written)
                on_samples(done, samples[done])
            if done in keeping:
                written |= kept.save(keeping[done], update.all_networks)
            if tick:
                curves.append(_row(done, means, playing.vitals(drawn), work))
                progress.note = ", ".join(f"{name} {curves[-1].get(name, 0):.3f}" for name in ("loss_d", "loss_g"))
                on_tick(curves[-1])
                for sentence in watch.look(curves):
                    _say(f"\nwarning: {sentence}")
            if tick or stop or done == params.steps:
                means.share()
                _refuse_divergence(done, means.peek(), work)
                if _leads() and (stop or done == params.steps or saving.due()):
                    with saving:
                        so_far = {"means": means.state(), "curves": curves, "written": written}
                        checkpoint.save(work, done, {"update": update.state(), **so_far})
            if stop:
                raise KeyboardInterrupt

    # A last, shorter tick is shown but not kept: a longer training would not have it.
    if params.steps % params.tick:
        curves = [*curves, _row(params.steps, means, playing.vitals(drawn), work)]
        on_tick(curves[-1])

    # Freeze the statistics that inference uses.
    playing.freeze(networks := update.all_networks)
    of_the_way = {}
    for step, path in keeping.items():
        if step < params.steps and (earlier := kept.load(path, networks, device, written.get(path.name))):
            playing.freeze(earlier)
            of_the_way[step] = path.with_name(f"frozen-{path.name}")
            kept.save(of_the_way[step], earlier)
    return Trained(networks, curves, watch.said, samples, of_the_way, str(precision).removeprefix("torch."))


def _what_determines(
    params: Training, images: Images, device: torch.device, precision: torch.dtype
) -> dict[str, object]:
    """All that the result follows from. Not the length: a longer training continues a shorter one.

    And not the number of processes: it changes nothing but the order of sums, and a host that dies may not cost the
    work of all.
    """
    # Only a falling learning rate looks ahead to the end.
    looks_ahead = {params.schedule, params.discriminator_schedule} - {None, "constant"}
    return {
        **params.model_dump(exclude=set() if looks_ahead else {"steps"}),
        "images": images.digest,
        "device": device.type,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": str(precision),
        # Sums are split over a CPU's threads, so their number shows in the last digits.
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
    }


def _sample_steps(params: Training) -> list[int]:
    early = {step for step in EARLY if step < params.steps}
    return sorted({*range(0, params.steps + 1, params.sample_every), *early, params.steps})


def _save(picture: Image.Image, path: Path, written: dict[str, str]) -> None:
    if _leads():
        with files.atomic(path) as draft:
            picture.save(draft, "PNG")
        written[path.name] = files.sha256(path)


def _row(step: int, means: Means, vitals: Row, work: Path) -> Row:
    row = {"step": step, **means.take(), **vitals}
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
