"""A bounded queue before the processor: one computation at a time, a few that wait, and a plain no to all others."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

WAITING, SECONDS = 16, 20.0  # requests that wait, and for how long


class Refused(Exception):
    """A request that is not served: the HTTP status and one sentence that says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Gate:
    """Each computation has all cores to itself, so that two at once would only wait for each other."""

    def __init__(self, waiting: int = WAITING, seconds: float = SECONDS) -> None:
        self.waiting, self.seconds = waiting, seconds
        self._turn = asyncio.Semaphore(1)
        self._here = 0
        self._thread = ThreadPoolExecutor(1, "demo")

    async def run(self, work: Callable[[], T]) -> T:
        """`work`, in a thread, when it is its turn; Refused with 503 where too many wait, or it for too long."""
        if self._here > self.waiting:
            raise Refused(503, "too many are waiting for the processor: ask again in some seconds")
        self._here += 1
        try:
            try:
                await asyncio.wait_for(self._turn.acquire(), self.seconds)
            except TimeoutError:
                raise Refused(503, "the processor is busy with others: ask again in some seconds") from None
            try:
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
            finally:
                self._turn.release()
        finally:
            self._here -= 1
