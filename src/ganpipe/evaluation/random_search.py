"""Random search (Bergstra and Bengio 2012): what a trial of the supervised control draws, and what is remembered of it.

Each trial is a function of (seed, trial), so that a search that was killed goes on where it was.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganpipe import files


class Setting(NamedTuple):
    """What a trial draws."""

    learning_rate: float  # at the first step; from there to 0 in a line
    beta1: float
    batch_size: int
    weight_decay: float
    dropout: float  # of the last maps
    flip: bool  # half of the images mirrored
    shift: int  # pixels, at most, by which images are moved in each direction
    length: float  # share of the steps that may be taken

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.3g}" for name, value in self._asdict().items())


def _between(low: float, high: float) -> Callable[[np.random.Generator], float]:
    """Log-uniform."""
    return lambda source: math.exp(source.uniform(math.log(low), math.log(high)))


def _one_of(*options: Any) -> Callable[[np.random.Generator], Any]:
    return lambda source: options[source.integers(len(options))]


OPTIONS: dict[str, Callable[[np.random.Generator], Any]] = {
    "learning_rate": _between(1e-4, 1e-2),
    "beta1": _one_of(0.5, 0.9),
    "batch_size": _one_of(32, 64, 128, 256),
    "weight_decay": _between(1e-6, 1e-2),
    "dropout": _one_of(0.0, 0.25, 0.5, 0.75),
    "flip": _one_of(False, True),  # wrong for digits, right for most photographs
    "shift": _one_of(0, 2, 4),
    "length": _one_of(0.5, 1.0),
}


def setting_of(seed: int, trial: int) -> Setting:
    """What that trial draws from `OPTIONS`."""
    source = np.random.default_rng([seed, trial])
    return Setting(**{name: option(source) for name, option in OPTIONS.items()})


class Journal:
    """Accuracies of finished trainings, a line each, by (part they were scored on, trial, draw)."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, dict[tuple[str, int, int], dict[str, Any]]()
        for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], start=1):
            try:
                row = json.loads(line)
                if row["accuracy"] is not None and not 0 <= row["accuracy"] <= 1:
                    raise ValueError
                self.rows[row["part"], row["trial"], row["draw"]] = row
            except (ValueError, TypeError, KeyError):
                print(f"warning: line {number} of {path} is damaged: what it held is computed again", flush=True)

    def __contains__(self, key: tuple[str, int, int]) -> bool:
        return key in self.rows

    def __getitem__(self, key: tuple[str, int, int]) -> float | None:
        return self.rows[key]["accuracy"]

    def add(self, key: tuple[str, int, int], accuracy: float | None, setting: Setting) -> None:
        """Keep one more; None for one that diverged."""
        self.rows[key] = dict(zip(("part", "trial", "draw"), key, strict=True))
        self.rows[key] |= {"accuracy": accuracy, **setting._asdict()}
        with files.atomic(self.path) as draft:
            draft.write_text("".join(json.dumps(row) + "\n" for row in self.rows.values()), encoding="utf-8")
