import asyncio
import random
import time
from collections import Counter

import pytest

from ganpipe.corpus.manners import Host, Manners, Robots, Turns


async def taken(turns: Turns[str]) -> str:
    found = await asyncio.wait_for(turns.take(), 5)
    assert found is not None
    return found[1]


def test_a_host_is_one_whatever_its_schemes_and_ports_and_each_has_its_own_rules() -> None:
    async def ask(url: str) -> Robots:
        return Robots(200, "User-agent: *\nDisallow: /x" if url.startswith("https") else "")

    manners = Manners(1, ask)
    urls = ["http://a.org/x", "https://a.org/x", "http://a.org:8080/x", "http://b.org/x"]
    assert len({id(manners.host(url)) for url in urls}) == 2
    asyncio.run(manners.learn(urls[0]))
    assert [manners.knows(url) for url in urls] == [True, False, False, False]
    asyncio.run(manners.learn(urls[1]))
    assert [manners.allowed(url) for url in urls[:2]] == [True, False]


def test_what_is_asked_again_comes_as_soon_as_it_may_and_before_what_is_new() -> None:
    async def run() -> list[str]:
        turns, host = Turns[str](), Host(0.0)
        turns.put(host, "new")
        turns.put(host, "newer")
        turns.put(host, "first", first=True)
        turns.put(host, "much later", after=time.monotonic() + 0.1)
        turns.put(host, "again", after=time.monotonic())
        found = []
        while (turn := await turns.take()) is not None:
            found.append(turn[1])
            turns.done(turn[0])
        return found

    assert asyncio.run(run()) == ["again", "first", "new", "newer", "much later"]


def test_a_host_is_not_asked_while_it_is_asked_nor_before_it_may_be() -> None:
    async def run() -> None:
        turns, host = Turns[str](), Host(0.0)
        turns.put(host, "again", after=time.monotonic() + 0.05)
        turns.put(host, "new")  # may be asked sooner than what it was known for
        assert await taken(turns) == "new"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(turns.take(), 0.1)
        host.rest(0.1)
        until = host.next
        turns.done(host)
        turns.put(host, "newer")
        host.rest(0.2)  # said once it waits already
        assert await taken(turns) == "again"
        assert time.monotonic() >= until + 0.09

    asyncio.run(run())


def test_all_is_asked_once_of_each_host_one_at_a_time_by_however_many() -> None:
    chance, asked, now = random.Random(0), Counter[str](), set[Host]()

    async def work(turns: Turns[str]) -> None:
        while (turn := await turns.take()) is not None:
            host, thing = turn
            assert host not in now
            assert time.monotonic() >= host.next
            now.add(host)
            host.count()
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
            asked[thing] += 1
            if asked[thing] < 3 and chance.random() < 0.2:
                turns.put(host, thing, after=time.monotonic() + chance.choice([0, 0.003]))
                await asyncio.sleep(0.001)
            now.remove(host)
            turns.done(host)

    async def run() -> None:
        turns = Turns[str]()
        hosts = [Host(chance.choice([0.0, 0.001, 0.003])) for _ in range(20)]
        for number in range(300):
            turns.put(chance.choice(hosts), str(number), first=chance.random() < 0.5)
        await asyncio.wait_for(asyncio.gather(*(work(turns) for _ in range(7))), 20)

    asyncio.run(run())
    assert len(asked) == 300
