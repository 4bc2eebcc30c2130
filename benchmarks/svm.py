"""How fast the certified SVM is, against scikit-learn's LinearSVC (liblinear) on the same features, in one run.

    python benchmarks/svm.py [--quick] [--large] [--json PATH]

It wants what `make repro` leaves: the discriminator in models/gan and CIFAR-10 in data/evaluation/cifar10. Each
machine's time is to an objective within 1e-4 of the optimum, the largest of the classes' relative distances counting.
LinearSVC is asked for ever more precision until it is that near, or has taken `PATIENCE` times as long as ours. If
neither of its modes gets there, the time that the quicker one spent is a lower bound, and so is the speed-up. Ours runs
in a process of its own, for its memory to be seen. `--large` measures the paper's size instead: 50,000 x 28,672 in half
precision in a file, of an untrained discriminator, for four C.
"""

import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from reporting import arguments, report
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.evaluation.features import Levers, extract
from ganpipe.evaluation.l2svm import L2SVM
from ganpipe.models.dcgan import Discriminator, initialise, place
from ganpipe.models.pixels import freeze_on
from ganpipe.models.store import load_discriminator
from ganpipe.runtime import choose_device, keep_freed_memory

T = TypeVar("T")
CLOSE = 1e-4
CANDIDATES = (1e-4, 1e-3)
PATH = (1e-5, 3.2e-5, 1e-4, 3.2e-4)
LARGE_WIDTH = 128
ALONE = "--alone"
PATIENCE = 20  # times as long as ours, after which LinearSVC is given up


@entry
def main() -> None:
    """Measure, print, write."""
    large = "--large" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--large"]
    options, device = arguments("How fast the SVM is"), choose_device()
    keep_freed_memory()
    labelled = Images(Path("data/evaluation/cifar10"))
    if large:
        report(path(labelled, device), options.json)
        return
    rows = 2_000 if options.quick else 10_000
    network = load_discriminator(Path("models/gan"), device)
    pixels = np.concatenate(list(labelled.squares(labelled.rows("train")[:rows], network.table.size, "bilinear")))
    labels = labelled.labels("train")[:rows]
    features = extract(network, pixels, device, "features")
    figures: dict[str, float] = {"rows": rows, "columns": features.shape[1]}
    for C in CANDIDATES[: 1 if options.quick else None]:
        figures |= compare(features, labels, C)
    report(figures, options.json)


def compare(features: torch.Tensor, labels: np.ndarray, C: float) -> dict[str, float]:
    """Seconds of ours and of liblinear's two solvers, and the memory that ours takes beside the features."""
    name, X = f"C_{C:g}", features.cpu().numpy()
    optimum = L2SVM(C, tol=1e-6).fit(features, labels).objective_
    ours = alone(X, labels, C)
    found = {f"{name}_ours_{key}": value for key, value in ours.items()}
    print(f"C {C:g}: ours {ours['seconds']:.1f} s, gap {ours['gap']:.1e}", flush=True)
    wide, spent, reached = X.astype(np.float64), dict[str, float](), dict[str, float]()
    for kind, dual in (("dual", True), ("primal", False)):
        for tol in (1.0, 0.3, 0.1, 1e-2, 1e-3, 1e-4):
            theirs, spent[kind] = timed(lambda: _liblinear(wide, labels, C, dual, tol))  # noqa: B023 (called here)
            above = float(((_objectives(wide, labels, theirs, C) - optimum) / optimum).max())
            print(f"C {C:g}: LinearSVC {kind}, tol {tol:g}: {spent[kind]:.1f} s, {above:.1e} above", flush=True)
            found |= {f"{name}_linearsvc_{kind}_seconds": spent[kind], f"{name}_linearsvc_{kind}_above_optimum": above}
            if above <= CLOSE:
                reached[kind] = spent[kind]
            if above <= CLOSE or spent[kind] > min([PATIENCE * ours["seconds"], *reached.values()]):
                break
    bound = "" if reached else "_at_least"
    return {**found, f"{name}_speedup{bound}": min((reached or spent).values()) / ours["seconds"]}


def alone(X: np.ndarray, labels: np.ndarray, C: float) -> dict[str, float]:
    """Ours, to a gap of `CLOSE`, in a new process: seconds, gap, products, and its peak memory over the features'."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "X.npy", X)
        np.save(Path(folder) / "y.npy", labels)
        done = subprocess.run(
            [sys.executable, __file__, ALONE, folder, str(C)], capture_output=True, text=True, check=True
        )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def be_alone(folder: Path, C: float) -> None:
    """What that process does."""
    keep_freed_memory()
    features, labels = torch.from_numpy(np.load(folder / "X.npy")).to(choose_device()), np.load(folder / "y.npy")
    L2SVM(C, tol=0.5).fit(features[:200], labels[:200])  # libraries load, threads start
    _reset_peak()
    before = _memory("VmRSS")
    machine, seconds = timed(lambda: L2SVM(C, tol=CLOSE).fit(features, labels))
    size = features.numel() * features.element_size()
    figures = {
        "seconds": seconds,
        "gap": machine.duality_gap_,
        "products": machine.products_,
        "memory_over_features": 1 + (_memory("VmHWM") - before) / size,
    }
    print(json.dumps(figures))


def path(labelled: Images, device: torch.device) -> dict[str, float]:
    """The paper's size, for each C from the one before, features in half precision in a file."""
    network = Discriminator(LARGE_WIDTH)
    initialise(network, torch.Generator().manual_seed(0))
    rows = labelled.rows("train")
    freeze_on(place(network, device), len(rows), lambda chosen: labelled.pixels(rows[chosen]), device)
    pixels = np.concatenate(list(labelled.squares(rows, network.table.size, "bilinear")))
    features, extraction = timed(lambda: extract(network, pixels, device, "features", Levers(half=True)))
    labels, machine = labelled.labels("train"), None
    _reset_peak()
    found, started = {"large_extraction_images_per_second": len(rows) / extraction}, time.perf_counter()
    for C in PATH:
        before = machine
        machine, seconds = timed(lambda: L2SVM(C, tol=1e-3).fit(features, labels, start=before))  # noqa: B023 (here)
        found |= {f"large_C_{C:g}_seconds": seconds, f"large_C_{C:g}_gap": machine.duality_gap_}
        print(f"C {C:g}: {seconds:.0f} s, {machine.products_} products, gap {machine.duality_gap_:.1e}", flush=True)
    return {
        **found,
        "large_path_seconds": time.perf_counter() - started,
        "large_peak_memory_gib": _memory("VmHWM") / 2**30,
    }


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it returns, and its seconds."""
    began = time.perf_counter()
    found = work()
    return found, time.perf_counter() - began


def _liblinear(X: np.ndarray, labels: np.ndarray, C: float, dual: bool, tol: float) -> LinearSVC:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LinearSVC(C=C, dual=dual, tol=tol, max_iter=10_000).fit(X, labels)


def _objectives(X: np.ndarray, labels: np.ndarray, machine: LinearSVC, C: float) -> np.ndarray:
    targets = np.where(labels[:, None] == machine.classes_, 1.0, -1.0)
    slack = np.maximum(0, 1 - targets * machine.decision_function(X))
    squared = (machine.coef_**2).sum(1) + machine.intercept_**2
    objectives: np.ndarray = 0.5 * squared + C * (slack**2).sum(0)
    return objectives


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _memory(which: str) -> float:
    """Resident memory in bytes: VmRSS now, VmHWM the largest since the reset; a mapped file's pages count, too."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return float(line.split()[1]) * 1024


if __name__ == "__main__":
    if sys.argv[1:2] == [ALONE]:
        be_alone(Path(sys.argv[2]), float(sys.argv[3]))
    else:
        main()
