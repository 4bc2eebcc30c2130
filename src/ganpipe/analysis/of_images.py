"""What a trained GAN shows beside its accuracy: figures, and pictures to look at."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganpipe import files
from ganpipe.analysis import samples
from ganpipe.analysis.guided import guided, strongest
from ganpipe.analysis.neighbours import nearer_share, nearest
from ganpipe.analysis.params import AnalyseParams
from ganpipe.analysis.walk import between, largest_step
from ganpipe.corpus.images import grid
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation.features import Levers, extract, scale
from ganpipe.evaluation.report import untrained
from ganpipe.models.dcgan import Discriminator
from ganpipe.models.store import Sampler, load_config, load_discriminator, load_generator
from ganpipe.runtime import keep_freed_memory, mix_seed

WALKS, SAMPLES, TRUNCATED, HELD_OUT = range(4)  # independent streams under a seed
AUTO = "auto"
MOST = 50_000  # training images that are compared and searched
SHOWN, FAVOURITES = 12, 4  # samples with their neighbours; images that excite a filter
ENLARGED, FRAME = 2, 120  # times, of every picture; milliseconds, of the film


@dataclass
class Analysis:
    """Flat `metrics`, pictures by name, and the frames of the walks' film."""

    metrics: dict[str, float | str | int] = field(default_factory=dict)
    pictures: dict[str, Image.Image] = field(default_factory=dict)
    film: list[Image.Image] = field(default_factory=list)


def analyse(
    params: AnalyseParams, weights: Path, corpus: Images, labelled: Images | None, device: torch.device
) -> Analysis:
    """Look at the GAN in `weights`, which was trained on `corpus`, without having seen the tests of `labelled`."""
    keep_freed_memory()
    generator, discriminator, config = (
        load_generator(weights, device),
        load_discriminator(weights, device),
        load_config(weights),
    )
    distribution = config["train"]["noise"]
    found = Analysis()
    if params.walks:
        _walks(found, params, generator, distribution, device)
    if params.truncations:
        _truncated(found, params, generator, distribution, device)
    rows = np.sort(np.random.default_rng([params.seed, HELD_OUT]).permutation(len(corpus))[:MOST])
    training = corpus.pixels(rows)
    if params.samples:
        z = samples.noise(params.samples, generator.latent, distribution, mix_seed(params.seed, SAMPLES))
        made = samples.drawn(generator, z, device)
        tests = None
        if labelled is not None:
            chosen = np.random.default_rng([params.seed, HELD_OUT]).permutation(labelled.rows("test"))[: params.samples]
            squares = labelled.squares(np.sort(chosen), discriminator.table.size, config["corpus"]["resize"])
            tests, found.metrics["held_out"] = np.concatenate(list(squares)), labelled.name
        _neighbours(found, discriminator, made, training, tests, params.seed, device)
    if params.filters:
        networks = {"trained": discriminator, "untrained": untrained(discriminator, params.seed, corpus, device)}
        _filters(found, params.filters, networks, training, device)
    return found


def held_out(name: str | None, folder: Path) -> Images | None:
    """The evaluation set of that name in `folder`, of `auto` the first by name; UserError where there is none."""
    there = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
    if name is None or (name == AUTO and not there):
        return None
    if name != AUTO and name not in there:
        raise UserError(f"analyse.held_out is {name}, but evaluate.datasets has only {', '.join(there)}")
    return Images(folder / (there[0] if name == AUTO else name))


def save(found: Analysis, folder: Path) -> None:
    """Write the pictures and the film."""
    with files.atomic_folder(folder) as draft:
        for name, picture in found.pictures.items():
            picture.save(draft / f"{name}.png")
        if found.film:
            there_and_back = [*found.film, *found.film[-2:0:-1]]
            there_and_back[0].save(
                draft / "walks.gif", save_all=True, append_images=there_and_back[1:], duration=FRAME, loop=0
            )


def _walks(found: Analysis, params: AnalyseParams, generator: Sampler, distribution: str, device: torch.device) -> None:
    """A row a walk, and a film in which all of them go there and back."""
    ends = samples.noise(2 * params.walks, generator.latent, distribution, mix_seed(params.seed, WALKS))
    z = between(ends[: params.walks], ends[params.walks :], params.stops, params.path)
    images = samples.drawn(generator, z.flatten(0, 1), device)
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
        samples.noise(SHOWN, generator.latent, distribution, seed, truncation) for truncation in params.truncations
    ]
    images = samples.drawn(generator, torch.cat(parts), device)
    found.pictures["truncation"] = grid(images, SHOWN, ENLARGED)


def _neighbours(
    found: Analysis,
    discriminator: Discriminator,
    made: np.ndarray,
    training: np.ndarray,
    tests: np.ndarray | None,
    seed: int,
    device: torch.device,
) -> None:
    """Samples over their nearest training images, the nearest pairs first; and whether they are nearer than others."""
    known = extract(discriminator, training, device, "features, training", Levers(half=True))
    compared = [extract(discriminator, made, device, "features, samples")]
    if tests is not None:
        compared.append(extract(discriminator, tests, device, "features, held out"))
    scale(known, compared, "standardised")
    near = [nearest(features, known) for features in compared]
    first = np.argsort(near[0].distance, kind="stable")[:SHOWN]
    found.pictures["neighbours"] = grid(
        np.concatenate([made[first], training[near[0].row[first]]]), len(first), ENLARGED
    )
    found.metrics["nearest_median"] = float(np.median(near[0].distance))
    if tests is not None:
        share, low, high = nearer_share(near[0].distance, near[1].distance, seed)
        found.metrics |= {
            "nearest_median_held_out": float(np.median(near[1].distance)),
            "nearer_than_held_out": share,
            "nearer_than_held_out_low": low,
            "nearer_than_held_out_high": high,
        }


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
        found.pictures[f"filters_{name}"] = grid(np.concatenate(rows), 2 * FAVOURITES, ENLARGED)


def _columns(count: int) -> int:
    return int(np.ceil(np.sqrt(count)))
