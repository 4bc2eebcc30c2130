"""How much memory Python's own objects take, for tests of what must not take much."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


class Traced:
    """`peak`, in bytes, once the block has ended."""

    peak = 0


@contextmanager
def traced() -> Iterator[Traced]:
    """The most that is allocated in the block."""
    found = Traced()
    tracemalloc.start()
    try:
        yield found
        found.peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
