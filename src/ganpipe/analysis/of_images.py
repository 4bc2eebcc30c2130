"""Of a generator of images from noise: walks, neighbours, filters, and whether it has learned by heart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganpipe.analysis.found import Analysis
from ganpipe.analysis.guided import guided, strongest
from ganpipe.analysis.neighbours import Near, nearer_share, nearest_images
from ganpipe.analysis.params import AnalyseParams
from ganpipe.analysis.told_apart import told_apart
from ganpipe.analysis.walk import between, largest_step
from ganpipe.corpus.images import grid
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation.report import untrained
from ganpipe.intervals import wilson
from ganpipe.models.dcgan import ARCHITECTURES, Discriminator
from ganpipe.models.draws import drawn, noise
from ganpipe.models.store import Sampler, kept_folders, load_config, load_discriminator, load_generator
from ganpipe.runtime import mix_seed

WALKS, SAMPLES, TRUNCATED, HELD_OUT, TOLD_APART = range(5)  # independent streams under a seed
AUTO = "auto"
MOST = 50_000  # training images that are compared and searched
SHOWN, FAVOURITES = 12, 4  # samples with their neighbours; images that excite a filter
ENLARGED = 2  # times, of every picture


def of_images(params: AnalyseParams, weights: Path, corpus: Images, evaluation: Path, device: torch.device) -> Analysis:
    """Look at the GAN in `weights`, which was trained on `corpus`."""
    generator, config = load_generator(weights, device, params.average), load_config(weights)
    distribution = config["train"]["noise"]
    found = Analysis()
    if params.walks:
        _walks(found, params, generator, distribution, device)
    if params.truncations:
        _truncated(found, params, generator, distribution, device)
    if params.classifier is not None and params.samples:
        z = noise(params.samples, generator.latent, distribution, mix_seed(params.seed, TOLD_APART))
        told_apart(found, drawn(generator, z, device), params.classifier, evaluation, corpus, params.seed, device)
    if params.samples and (config["discriminator"]["architecture"] in ARCHITECTURES):
        _compared(found, params, weights, corpus, evaluation, device)
    if params.filters:
        discriminator = load_discriminator(weights, device, params.average)
        networks = {"trained": discriminator, "untrained": untrained(discriminator, params.seed, corpus, device)}
        _filters(found, params.filters, networks, _some(params, corpus), device)
    return found


def _walks(found: Analysis, params: AnalyseParams, generator: Sampler, distribution: str, device: torch.device) -> None:
    """A row a walk, and a film in which all of them go there and back."""
    ends = noise(2 * params.walks, generator.latent, distribution, mix_seed(params.seed, WALKS))
    z = between(ends[: params.walks], ends[params.walks :], params.stops, params.path)
    images = drawn(generator, z.flatten(0, 1), device)
    walks = images.reshape(params.walks, params.stops, *images.shape[1:])
    found.pictures["walks"] = grid(images, params.stops, ENLARGED)
    found.film = [grid(frame, _columns(params.walks), ENLARGED) for frame in walks.swapaxes(0, 1)]
    if params.stops > 2:
        found.metrics["walk_largest_step"] = largest_step(walks)


def _truncated(
    found: Analysis, params: AnalyseParams, generator: Sampler, distribution: str, device: torch.device
) -> None:
    """A row for each bound of z's numbers, the smallest first: sharper, and more alike."""
    seed = mix_seed(params.seed, TRUNCATED)
    parts = [
        noise(SHOWN, generator.latent, distribution, seed, truncation=truncation) for truncation in params.truncations
    ]
    images = drawn(generator, torch.cat(parts), device)
    found.pictures["truncation"] = grid(images, SHOWN, ENLARGED)


def _compared(
    found: Analysis, params: AnalyseParams, weights: Path, corpus: Images, evaluation: Path, device: torch.device
) -> None:
    """Samples over their nearest training images, the nearest pairs first; and whether they are nearer than others."""
    discriminator, config = load_discriminator(weights, device, params.average), load_config(weights)
    training = _some(params, corpus)
    z = noise(params.samples, config["generator"]["latent"], config["train"]["noise"], mix_seed(params.seed, SAMPLES))
    made = drawn(load_generator(weights, device, params.average), z, device)
    unseen = held_out(params, corpus, evaluation, discriminator.table.size, config)
    earlier = kept_folders(weights) if params.by_step else {}

    def sets() -> Iterator[tuple[str, np.ndarray]]:
        for step, at in earlier.items():
            yield f"after {step:,} steps", drawn(load_generator(at, device, params.average), z, device)
        yield "samples", made

    of_unseen, near = nearest_images(discriminator, training, None if unseen is None else unseen[1], sets(), device)
    of_samples = near["samples"].training
    first = np.argsort(of_samples.distance, kind="stable")[:SHOWN]
    found.pictures["neighbours"] = grid(
        np.concatenate([made[first], training[of_samples.row[first]]]), len(first), ENLARGED
    )
    found.metrics["nearest_median"] = float(np.median(of_samples.distance))
    if unseen is None or of_unseen is None:
        return
    by_chance = len(training) / (len(training) + len(unseen[1]))
    found.metrics |= {
        "held_out": unseen[0],
        "held_out_images": len(unseen[1]),
        "nearest_median_held_out": float(np.median(of_unseen.distance)),
        "nearest_is_training_by_chance": by_chance,
    }
    steps = [*earlier, config["train"]["steps"]]
    rows = {
        step: _by_heart(each, of_unseen.distance, params.seed) for step, each in zip(steps, near.values(), strict=True)
    }
    _by_step(found, rows, by_chance)


def _by_step(found: Analysis, rows: dict[int, dict[str, float]], by_chance: float) -> None:
    """The last step's figures, a table of all, and since when, unbroken to the last, it has learned by heart."""
    last = list(rows.values())[-1]
    found.metrics |= last
    if len(rows) > 1:
        lines = [
            ",".join(("step", *last)),
            *(f"{step},{','.join(map(repr, row.values()))}" for step, row in rows.items()),
        ]
        found.tables["by_step"] = "\n".join(lines) + "\n"
    since = None
    for step, row in rows.items():
        ill = row["nearer_than_held_out_low"] > 0.5 and row["nearest_is_training_low"] > by_chance
        since = (step if since is None else since) if ill else None
    if since is not None:
        found.metrics["by_heart_since"] = since
        print(
            f"warning: since step {since:,} samples lie nearer to the training images than images do that the training "
            "did not see: it has learned by heart",
            flush=True,
        )


def _by_heart(near: Near, held_out: np.ndarray, seed: int) -> dict[str, float]:
    """Two shares with 95 % intervals: blurred samples lie near to everything, and alike ones near to one image."""
    share, low, high = nearer_share(near.training.distance, held_out, seed)
    training, different = near.share_of_training()
    interval = wilson(training, different)
    return {
        "nearer_than_held_out": share,
        "nearer_than_held_out_low": low,
        "nearer_than_held_out_high": high,
        "nearest_is_training": training,
        "nearest_is_training_low": interval[0],
        "nearest_is_training_high": interval[1],
        "nearest_images": different,
    }


def held_out(
    params: AnalyseParams, corpus: Images, evaluation: Path, side: int, config: dict[str, Any]
) -> tuple[str, np.ndarray] | None:
    """Images that the training did not see, uint8 (n, side, side, 3), and what they are called; at most as many as the
    samples. None where there are none; a UserError where the set that is named is not there.
    """
    source = np.random.default_rng([params.seed, HELD_OUT])
    own = [name for name in corpus.splits if name != "train"]
    if params.held_out == AUTO and own:
        rows = np.sort(source.permutation(corpus.rows(own[0]))[: params.samples])
        return own[0], corpus.pixels(rows)
    there = sorted(path.parent.name for path in evaluation.glob("*/manifest.json"))
    if params.held_out is None or (params.held_out == AUTO and not there):
        return None
    if params.held_out != AUTO and params.held_out not in there:
        names = ", ".join(there) or "none"
        raise UserError(f"analyse.held_out is {params.held_out}, but evaluate.datasets has only {names}")
    labelled = Images(evaluation / (there[0] if params.held_out == AUTO else params.held_out))
    rows = np.sort(source.permutation(labelled.rows("test"))[: params.samples])
    return labelled.name, np.concatenate(list(labelled.squares(rows, side, config["corpus"]["resize"])))


def _some(params: AnalyseParams, corpus: Images) -> np.ndarray:
    """Training images, at most MOST."""
    rows = np.random.default_rng([params.seed, HELD_OUT]).permutation(corpus.rows("train"))[:MOST]
    return corpus.pixels(np.sort(rows))


def _filters(
    found: Analysis, count: int, networks: dict[str, Discriminator], training: np.ndarray, device: torch.device
) -> None:
    """A row a filter: the training images that excite it most, and what in them does; trained, then untrained."""
    for name, network in networks.items():
        chosen = strongest(network, training, count, FAVOURITES, device)
        rows = []
        for number in range(len(chosen)):
            images = training[chosen[number]]
            rows += [images, guided(network, images, number, device)]
        found.pictures[f"filters_{name}"] = grid(np.concatenate(rows), 2 * chosen.shape[1], ENLARGED)


def _columns(count: int) -> int:
    return int(np.ceil(np.sqrt(count)))
