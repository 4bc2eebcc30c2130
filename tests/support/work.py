"""Work for processes and machines: what they are sent must be found by its name there."""

import os
import time
from pathlib import Path

import numpy as np


def square(value: int) -> int:
    return value * value


def zeros(count: int) -> np.ndarray:
    return np.zeros(count, np.uint8)


def slow_square(value: int) -> int:
    time.sleep(0.2)
    return value * value


def process_of(value: int) -> int:
    return os.getpid()


def meet_on_machine(value: int, folder: Path) -> str:
    """The machine that it runs on, once another one has come to `folder`, too: a slow start of one decides nothing."""
    import ray

    name = str(ray.get_runtime_context().get_node_id())
    (folder / name).touch()
    for _ in range(600):
        if len(list(folder.iterdir())) > 1:
            break
        time.sleep(0.1)
    return name


def fail(value: int) -> int:
    raise ValueError(f"batch {value}")
