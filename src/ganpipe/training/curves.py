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
    "loss_l1",
    "l1_shown",
    "sample_mean",
    "sample_deviation",
)


class Means:
    """Running means of scalars by name; nothing is copied from the device before `take`."""

    def __init__(self, sums: dict[str, tuple[Tensor, int]] | None = None, device: torch.device | None = None) -> None:
        self._sums = {name: (total.to(device), count) for name, (total, count) in (sums or {}).items()}

    def add(self, values: dict[str, Tensor]) -> None:
        """One more observation of each."""
        for name, value in values.items():
            total, count = self._sums.get(name, (torch.zeros_like(value), 0))
            self._sums[name] = (total + value, count + 1)

    def share(self) -> None:
        """Give every process of the training what all of them together have added; each must call it."""
        average_over_processes([total for total, _ in self._sums.values()])

    def peek(self) -> Row:
        """The means of all that was added since the last `take`: by this process, or before `share` by any."""
        return {name: float(total) / count for name, (total, count) in self._sums.items()}

    def take(self) -> Row:
        """The means of all that all processes of the training added since the last call."""
        self.share()
        row = self.peek()
        self._sums.clear()
        return row

    def state(self) -> dict[str, tuple[Tensor, int]]:
        """For a checkpoint, after `share`; the constructor takes it back."""
        return dict(self._sums)


def latest(rows: list[Row]) -> Row:
    """The last known value of each column: a last, short tick may have seen one network only."""
    return {name: value for row in rows for name, value in row.items()}


def write_csv(path: Path, rows: list[Row]) -> None:
    """One line a tick, its step first, every digit kept; a column for each thing seen, empty where it was not."""
    columns = [name for name in COLUMNS if any(name in row for row in rows)]
    lines = [",".join(("step", *columns))]
    for row in rows:
        values = (repr(row[name]) if name in row else "" for name in columns)
        lines.append(",".join((str(int(row["step"])), *values)))
    with files.atomic(path) as draft:
        draft.write_text("\n".join(lines) + "\n")
