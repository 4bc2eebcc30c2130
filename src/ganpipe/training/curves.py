"""The curves of a training: means over each tick, kept on the device until then."""

from pathlib import Path

import torch
from torch import Tensor

from ganpipe import files
from ganpipe.runtime import average_over_processes

Row = dict[str, float]
COLUMNS = (
    "loss_d",
    "loss_g",
    "real_accuracy",
    "fake_accuracy",
    "gradient_d",
    "gradient_g",
    "gradient_ratio",
    "sample_distance",
    "saturated",
    "loss_rotation",
)


class Means:
    """Running means of scalars by name; nothing is copied from the device before `take`."""

    def __init__(self, sums: dict[str, tuple[Tensor, int]] | None = None) -> None:
        self._sums = dict(sums or {})

    def add(self, values: dict[str, Tensor]) -> None:
        """One more observation of each."""
        for name, value in values.items():
            total, count = self._sums.get(name, (torch.zeros_like(value), 0))
            self._sums[name] = (total + value, count + 1)

    def peek(self) -> Row:
        """The means of all that this process added since the last `take`."""
        return {name: float(total) / count for name, (total, count) in self._sums.items()}

    def take(self) -> Row:
        """The means of all that all processes of the training added since the last call."""
        sums = {name: (total.clone(), count) for name, (total, count) in self._sums.items()}
        self._sums.clear()
        average_over_processes([total for total, _ in sums.values()])
        return {name: float(total) / count for name, (total, count) in sums.items()}

    def state(self) -> dict[str, tuple[Tensor, int]]:
        """For a checkpoint; the constructor takes it back."""
        return dict(self._sums)


def write_csv(path: Path, rows: list[Row]) -> None:
    """One line a tick, its step first, every digit kept; an empty field where nothing was observed."""
    lines = [",".join(("step", *COLUMNS))]
    for row in rows:
        values = (repr(row[name]) if name in row else "" for name in COLUMNS)
        lines.append(",".join((str(int(row["step"])), *values)))
    with files.atomic(path) as draft:
        draft.write_text("\n".join(lines) + "\n")
