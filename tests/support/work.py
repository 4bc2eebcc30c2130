"""Work for processes and machines: what they are sent must be found by its name there."""

import os
import time


def square(value: int) -> int:
    return value * value


def slow_square(value: int) -> int:
    time.sleep(0.2)
    return value * value


def process_of(value: int) -> int:
    return os.getpid()


def machine_of(value: int) -> str:
    import ray

    time.sleep(0.2)
    return str(ray.get_runtime_context().get_node_id())


def fail(value: int) -> int:
    raise ValueError(f"batch {value}")
