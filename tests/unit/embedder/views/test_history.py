"""The last 15 minutes of the line are what was seen, and what was not seen is not made up."""

import asyncio
from typing import Any

import pytest

from services.chunks import memory_store, presence, views
from services.embedder.limiter import memory as memory_limiter
from services.embedder.limiter import promise
from services.embedder.views import health as health_view
from services.embedder.views import history, looks, monitoring
from services.runtime import errors
from tests.support import virtual_time

QUOTA = promise.Quota(0, 0, 300_000)


class Line:
    """Queue and limiter in memory, on the loop's clock."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.queue = memory_store.MemoryStore(clock=loop.time)
        self.limiter = memory_limiter.MemoryLimiter(QUOTA)
        seen = looks.Looks(views.Views(self.queue), self.limiter)
        ingests = presence.Presence(self.queue, "ingest")
        health = health_view.HealthView(seen, ingests, {"indexer": self.answer}, environment="test")
        monitor = monitoring.Monitoring(seen, health, model="m", configured=QUOTA)
        self.history = history.History(monitor, ingests, {"openai": self.closed, "pinecone": self.unknown})
        self.asked = 0

    async def answer(self) -> None:
        """The indexer is well."""

    async def closed(self) -> bool:
        return False

    async def unknown(self) -> bool:
        self.asked += 1
        raise errors.Unavailable("The indexer does not answer.")


async def samples(line: Line) -> list[Any]:
    return list((await line.history.view()).samples)


def test_each_look_tells_what_came_since_the_one_before() -> None:
    async def watch() -> None:
        line = Line()
        await presence.Presence(line.queue, "ingest").announce("i-1")
        watching = asyncio.create_task(line.history.run())
        await asyncio.sleep(5)
        for _ in range(20):
            await line.limiter.acquire(10)
        await line.limiter.pause(1, tokens_exceeded=False)
        await asyncio.sleep(10)
        assert dict((await line.history.view()).circuits) == {"openai": "closed"}
        first, second = await samples(line)
        assert (first.permits_per_second, first.refused, first.ingests) == (0, 0, 1)
        assert (second.permits_per_second, second.refused) == (pytest.approx(2), 1)
        line.limiter.flush()
        await line.limiter.acquire(10)
        await asyncio.sleep(10)
        assert (await samples(line))[-1].permits_per_second == pytest.approx(0.1)
        watching.cancel()

    virtual_time.run(watch())


def test_it_reaches_back_15_minutes_and_has_a_gap_where_nothing_answered() -> None:
    async def watch() -> None:
        line = Line()
        watching = asyncio.create_task(line.history.run())
        await asyncio.sleep(55)
        assert len(await samples(line)) == 6
        line.limiter.down = True
        await asyncio.sleep(30)
        told = await line.history.view()
        assert (len(told.samples), told.HasField("limiter"), told.services["indexer"]) == (6, False, "healthy")
        line.limiter.down = False
        await asyncio.sleep(2_000)
        assert len(await samples(line)) == 90
        watching.cancel()

    virtual_time.run(watch())


def test_a_crowd_that_looks_asks_about_circuits_once_a_second() -> None:
    async def watch() -> None:
        line = Line()
        for _ in range(3):
            told = await asyncio.gather(*(line.history.view() for _ in range(20)))
            assert all(dict(each.circuits) == {"openai": "closed"} for each in told)
            await asyncio.sleep(1.1)
        assert line.asked == 3

    virtual_time.run(watch())
