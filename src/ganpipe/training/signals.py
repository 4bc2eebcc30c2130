"""Ctrl-C and SIGTERM, noted instead of died of."""

import signal
from types import FrameType


class Signals:
    """While it is entered, SIGINT and SIGTERM set `caught`, so that the step in progress can be finished and saved."""

    def __init__(self) -> None:
        self.caught = False

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Ctrl-C twice: at once, with the last tick's checkpoint. A second SIGTERM is no impatience: where SLURM tells
        # every process of a job, torchrun tells its own once more.
        if self.caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.caught = True
