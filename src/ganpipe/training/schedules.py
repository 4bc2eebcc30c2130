"""Learning rates over a training, as factors of the one that is set: functions of the share of it that is done."""

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def constant(done: float) -> float:
    """1 throughout: what the authors' released weights were trained with."""
    return 1.0


def linear(done: float) -> float:
    """1 for the first half, then down to 0 in a line: the 30 epochs and 30 more of the authors' code."""
    return min(1.0, 2 * (1 - done))


def cosine(done: float) -> float:
    """Half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * done))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "linear": linear, "cosine": cosine}
