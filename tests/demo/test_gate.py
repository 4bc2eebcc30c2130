import asyncio
import threading
from collections.abc import Callable

import pytest

from ganpipe.demo.gate import Gate, Refused


def test_computations_come_one_at_a_time_in_their_order() -> None:
    running: list[int] = []
    seen: list[int] = []

    def work(number: int) -> Callable[[], int]:
        def call() -> int:
            running.append(number)
            seen.append(len(running))
            running.remove(number)
            return number

        return call

    async def all_of_them() -> list[int]:
        gate = Gate()
        return list(await asyncio.gather(*(gate.run(work(number)) for number in range(10))))

    assert asyncio.run(all_of_them()) == list(range(10))
    assert seen == [1] * 10


def test_who_is_one_too_many_is_refused_at_once() -> None:
    async def crowd() -> list[object]:
        gate, free = Gate(waiting=2), threading.Event()
        jobs = [asyncio.create_task(gate.run(free.wait)) for _ in range(4)]
        await asyncio.sleep(0)
        refused = await asyncio.wait({jobs[3]})
        assert not jobs[0].done()
        free.set()
        return [*(await asyncio.gather(*jobs[:3])), *(job.exception() for job in refused[0])]

    *served, refused = asyncio.run(crowd())
    assert served == [True] * 3
    assert isinstance(refused, Refused)
    assert (refused.status, refused.sentence[:16]) == (503, "too many are wai")


def test_who_waits_too_long_is_refused_and_takes_no_place() -> None:
    async def impatient() -> bool:
        gate, free = Gate(waiting=1, seconds=0.05), threading.Event()
        first = asyncio.create_task(gate.run(free.wait))
        await asyncio.sleep(0)
        for _ in range(3):
            with pytest.raises(Refused, match="busy"):
                await gate.run(lambda: True)
        free.set()
        await first
        return await gate.run(lambda: True)

    assert asyncio.run(impatient())


def test_a_failure_lets_the_next_one_in() -> None:
    async def failing() -> int:
        gate = Gate()
        with pytest.raises(ZeroDivisionError):
            await gate.run(lambda: 1 // 0)
        return await gate.run(lambda: 7)

    assert asyncio.run(failing()) == 7
