"""Work on a Ray cluster: what GANPIPE_ENGINE=ray puts in the place of a pool of processes on this machine."""

import copy
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from ganpipe.errors import UserError

A = TypeVar("A")
B = TypeVar("B")
AHEAD = 4  # batches in flight for each core of the cluster


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine. UserError where that cannot be.

    Its machines need this project's packages, but not the project, which is sent to them, and see files by the same
    paths as this one.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError(
            "GANPIPE_ENGINE is ray, but Ray is not installed: pip install 'ray[data]', or unset GANPIPE_ENGINE"
        ) from None
    if ray.is_initialized():
        return
    ours = {"py_modules": [str(Path(__file__).parent)]}
    try:
        ray.init(log_to_driver=False, logging_level=logging.WARNING, runtime_env=ours)
    except (ConnectionError, RuntimeError, ValueError) as error:
        address = os.environ.get("RAY_ADDRESS", "this machine")
        raise UserError(f"there is no Ray cluster at {address} ({error}): start it, or unset GANPIPE_ENGINE") from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # The other way to shuffle keeps rows in actors, which are lost with their machine.
    context.shuffle_strategy = ray.data.context.ShuffleStrategy.SORT_SHUFFLE_PULL_BASED
    logging.getLogger("ray.data").setLevel(logging.WARNING)


def map_batches(work: Callable[[A], B], batches: Iterable[A]) -> Iterator[B]:
    """`work` of each batch, in order, some for each core at a time; batches of a machine that dies go to another."""
    connect()
    import ray

    task: Any = ray.remote(_call)
    shared = ray.put(work)
    remaining = iter(batches)
    cores: Any = ray.cluster_resources()  # type: ignore[no-untyped-call]
    most = AHEAD * max(1, int(cores.get("CPU", 1)))
    pending = [task.remote(shared, batch) for batch in islice(remaining, most)]
    while pending:
        with failures():  # A copy, for arrays come as views of the object store, and keep it full while they live.
            done = copy.deepcopy(ray.get(pending.pop(0)))
        yield done
        pending.extend(task.remote(shared, batch) for batch in islice(remaining, 1))


@contextmanager
def failures() -> Iterator[None]:
    """An error of our own code on the cluster is raised here as it was there; the cluster's own is a UserError."""
    import ray

    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        while isinstance(cause, ray.exceptions.RayTaskError):
            cause = cause.cause
        raise cause from error
    except ray.exceptions.RayError as error:
        raise UserError(f"the Ray cluster failed ({type(error).__name__}): {error}") from error


def _call(work: Callable[[A], B], batch: A) -> B:
    return work(batch)
