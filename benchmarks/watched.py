"""How much memory a process and all those that it started hold, looked at again and again while they work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

EVERY = 0.1  # seconds between two looks

Memory = Callable[[psutil.Process], int]  # bytes that one process holds


def own(process: psutil.Process) -> int:
    """What is the process's own: without pages of files, which the kernel takes back where others want them."""
    held = process.memory_info()
    return int(held.rss - getattr(held, "shared", 0))


@contextmanager
def watched(pid: int, part: Callable[[psutil.Process], str], memory: dict[str, Memory]) -> Iterator[dict[str, int]]:
    """The largest sums, in bytes, by `<part>_<memory>`: `part` says what a process belongs to; "" is not counted."""
    peaks: dict[str, int] = {}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(EVERY):
            sums: dict[str, int] = {}
            with suppress(psutil.Error):  # it may end at any moment, and so may those below it
                root = psutil.Process(pid)
                for process in (root, *root.children(recursive=True)):
                    with suppress(psutil.Error):
                        if name := part(process):
                            for kind, measure in memory.items():
                                key = f"{name}_{kind}"
                                sums[key] = sums.get(key, 0) + measure(process)
            for key, held in sums.items():
                peaks[key] = max(peaks.get(key, 0), held)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        ended.set()
        watcher.join()
