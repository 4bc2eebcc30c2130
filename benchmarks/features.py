"""How fast features are taken, against the bare forward pass of the same network on prepared batches, in one run.

    python benchmarks/features.py [--quick] [--json PATH]

Images are noise, for no rate depends on what they show; the discriminator is an untrained one, its statistics frozen.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from reporting import arguments, report

from ganpipe.evaluation.features import BATCH, Levers, extract
from ganpipe.models.dcgan import Discriminator, initialise, place
from ganpipe.models.pixels import freeze_on, to_network
from ganpipe.runtime import choose_device, keep_freed_memory

WIDTHS = {32: 20_000, 128: 4_000}  # and how many images
ROUNDS = 3
WAYS = {"memory": Levers(), "disk_fp16": Levers(half=True)}


def main() -> None:
    """Measure, print, write."""
    options, device = arguments("How fast features are taken"), choose_device()
    keep_freed_memory()
    figures: dict[str, float] = {}
    for width, count in WIDTHS.items():
        pixels = np.random.default_rng(0).integers(0, 256, (count // (10 if options.quick else 1), 32, 32, 3), np.uint8)
        network = Discriminator(width)
        initialise(network, torch.Generator().manual_seed(0))
        known = min(1280, len(pixels))
        freeze_on(place(network, device), known, lambda rows: pixels[rows], device)  # noqa: B023 (called here)
        bare = rate(len(pixels), lambda: forward(network, pixels, device))  # noqa: B023 (called here)
        figures[f"width{width}_bare_forward"] = bare
        for name, levers in WAYS.items():
            taken = rate(len(pixels), lambda: extract(network, pixels, device, name, levers))  # noqa: B023 (called here)
            figures |= {f"width{width}_{name}": taken, f"width{width}_{name}_over_bare": taken / bare}
    report(figures, options.json)


@torch.no_grad()
def forward(network: Discriminator, pixels: np.ndarray, device: torch.device) -> None:
    """All layers' maps, of one prepared batch as often as there are batches."""
    network.eval()
    batch = to_network(torch.from_numpy(pixels[:BATCH]).to(device))
    for _ in range(0, len(pixels), BATCH):
        network.activations(batch)


def rate(count: int, work: Callable[[], object]) -> float:
    """Images a second, the best of some rounds."""
    best = 0.0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = max(best, count / (time.perf_counter() - began))
    return best


if __name__ == "__main__":
    main()
