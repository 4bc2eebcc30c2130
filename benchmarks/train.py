"""How fast the trainer is, against the machine's own matrix rate and against the loop that people copy, in one run.

    python benchmarks/train.py [--quick] [--json PATH]

Rates are real images a second. The copied loop updates both networks at each batch, and so does ours where the two are
compared (`train.updates: simultaneous`); the paper's alternation, our default, is shown beside it.
"""

import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from copied_loop import images_per_second
from reporting import arguments, report
from torch.utils.flop_counter import FlopCounterMode

from ganpipe.corpus.shards import Images, write_pixels
from ganpipe.runtime import choose_device, choose_precision, keep_freed_memory
from ganpipe.settings import read_params
from ganpipe.tracking.run import track
from ganpipe.training import checkpoint
from ganpipe.training.batches import Batches
from ganpipe.training.loop import train
from ganpipe.training.params import TrainParams
from ganpipe.training.sampling import SamplingStep, build

ROOT = Path(__file__).resolve().parent.parent
CORPUS = 4096  # images; noise, for no rate depends on what they show
# network, width, batch, latent
QUICK = [("dcgan32", 32, 128, 256)]
FULL = [*QUICK, ("dcgan32", 32, 512, 256), ("dcgan32", 128, 128, 256), ("dcgan64", 64, 128, 100)]
ON_GPU = [("dcgan32", 128, 512, 256), ("dcgan64", 64, 512, 100), ("dcgan64", 128, 128, 100)]


def main() -> None:
    """Measure, print, write."""
    options, device = arguments("How fast the trainer is"), choose_device()
    precision = choose_precision("auto", device)
    figures = {"matrix_tflops": matrix_rate(device, precision) / 1e12}
    cases = QUICK if options.quick else FULL + (ON_GPU if device.type == "cuda" else [])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        gained = {} if options.quick else gains(settings(batch_size=128), corpus(32), device, precision)
        keep_freed_memory()
        for network, width, batch, latent in cases:
            params = settings(network=network, width=width, batch_size=batch, latent=latent)
            images = corpus(64 if network == "dcgan64" else 32)
            name = f"{network}_width{width}_batch{batch}"
            figures |= {f"{name}_{key}": value for key, value in compare(params, images, device, options.quick).items()}
            print(
                f"{name}: "
                + ", ".join(
                    f"{key[len(name) + 1 :]} {value:,.4g}" for key, value in figures.items() if key.startswith(name)
                ),
                flush=True,
            )
        figures["speedup_over_copied_loop"] = figures["dcgan32_width32_batch128_speedup"]
        figures |= gained
        figures |= overheads(settings(), corpus(32), device)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else _resident()
    figures["peak_memory_gib"] = peak / 2**30
    report(figures, options.json)


def settings(**changes: Any) -> TrainParams:
    """Those of params.yaml, with changes."""
    return TrainParams.model_validate({**read_params(ROOT / "params.yaml")["train"], **changes})


def corpus(side: int) -> Images:
    """Noise at that size, as `preprocess` writes it."""
    folder = Path(f"corpus-{side}")
    if not folder.exists():
        folder.mkdir()
        pixels = np.random.default_rng(0).integers(0, 256, (CORPUS, side, side, 3), np.uint8)
        write_pixels(folder, [pixels], CORPUS, None, {"corpus": {"name": "noise"}, "resize": "bilinear"})
    return Images(folder)


def matrix_rate(device: torch.device, precision: torch.dtype) -> float:
    """Floating-point operations a second of the machine's own best matrix product in that precision."""
    best = 0.0
    for side in (1024, 2048, 4096) if device.type == "cpu" else (4096, 8192):
        a, b = (torch.randn(side, side, device=device).to(precision) for _ in range(2))
        seconds = timed(lambda: torch.mm(a, b), device, 2, 5 if device.type == "cpu" else 50)  # noqa: B023 (called here)
        best = max(best, 2 * side**3 / seconds)
    return best


def compare(params: TrainParams, images: Images, device: torch.device, quick: bool) -> dict[str, float]:
    """Our rates, the copied loop's, and the share of the matrix rate that ours reaches."""
    torch.backends.cudnn.benchmark = True  # as `train` has it
    steps = (4 if quick else 8) * (1 if device.type == "cpu" else 25)
    precision = choose_precision("auto", device)
    found: dict[str, float] = {}
    for updates in ("simultaneous", "alternating"):
        changed = params.model_copy(update={"updates": updates})
        step, batches = SamplingStep(changed, *build(changed, device), precision), Batches(images, changed, device)
        number = iter(range(1 << 30))

        def once(step: SamplingStep = step, batches: Batches = batches, number: Any = number) -> None:
            index = next(number)
            step(index, batches(index))

        with FlopCounterMode(display=False) as counter:  # of two steps, for an alternation has two kinds
            step.update_both(batches(0)) if updates == "simultaneous" else (
                step.update_generator(batches(0)),
                step.update_discriminator(batches(0)),
            )
        flops = counter.get_total_flops() / (1 if updates == "simultaneous" else 2)
        seconds = timed(once, device, 8, 2 * steps)
        found[f"{updates}_images_per_second"] = params.batch_size / seconds
        found[f"{updates}_share_of_matrix_rate"] = flops / seconds / matrix_rate(device, precision)
    pixels = images.pixels(np.arange(len(images)))
    copied = images_per_second(
        pixels, params.network, params.width, params.latent, params.batch_size, device, 3, max(4, steps)
    )
    return {
        **found,
        "copied_images_per_second": copied,
        "speedup": found["simultaneous_images_per_second"] / copied,
    }


def gains(params: TrainParams, images: Images, device: torch.device, precision: torch.dtype) -> dict[str, float]:
    """Images a second of the alternation as each means is added to those before it, on this machine's device."""

    def rate(kind: torch.dtype, layout: torch.memory_format) -> float:
        step, batches = SamplingStep(params, *build(params, device), kind), Batches(images, params, device)
        for network in step.networks.values():
            network.to(memory_format=layout)  # type: ignore[call-overload]
        given = [batch._replace(real=batch.real.contiguous(memory_format=layout)) for batch in map(batches, range(8))]
        number = iter(range(1 << 30))

        def once() -> None:
            index = next(number)
            step(index, given[index % len(given)])

        return params.batch_size / timed(once, device, 8, 16 if device.type == "cpu" else 200)

    found = {
        "gain_0_fp32_discriminator_nchw": rate(torch.float32, torch.contiguous_format),
        "gain_1_channels_last": rate(torch.float32, torch.channels_last),
        "gain_2_own_precision": rate(precision, torch.channels_last),
    }
    keep_freed_memory()
    return {**found, "gain_3_freed_memory_kept": rate(precision, torch.channels_last)}


def overheads(params: TrainParams, images: Images, device: torch.device) -> dict[str, float]:
    """Of a whole training with tracking: the share of the time that is not spent in steps, and seconds to resume."""
    params = params.model_copy(update={"steps": params.sample_every})
    calls: list[tuple[float, float]] = []

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*given: Any) -> Any:
            began = time.perf_counter()
            found = call(*given)
            _finish(device)
            calls.append((began, time.perf_counter()))
            return found

        return timing

    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    with (
        patch.object(SamplingStep, "__call__", watched(SamplingStep.__call__)),
        patch.object(Batches, "__call__", watched(Batches.__call__)),
        track("train", {}) as run,
    ):
        train(params, images, device, run.tick, lambda step, path: run.picture("samples", path, step))
    inside, lasted = sum(end - began for began, end in calls), calls[-1][1] - calls[0][0]

    update = SamplingStep(params, *build(params, device), choose_precision("auto", device))
    folder = next(Path(".ckpt/train").iterdir())
    began = time.perf_counter()
    if (found := checkpoint.latest(folder, params.steps)) is not None:
        update.load_state(found[1]["update"])
    _finish(device)
    return {"share_of_time_outside_steps": 1 - inside / lasted, "seconds_to_resume": time.perf_counter() - began}


def timed(work: Callable[[], Any], device: torch.device, warm_up: int, count: int) -> float:
    """Seconds a call, over `count` calls after `warm_up` ones."""
    for _ in range(warm_up):
        work()
    _finish(device)
    start = time.perf_counter()
    for _ in range(count):
        work()
    _finish(device)
    return (time.perf_counter() - start) / count


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
