"""Searches beside bulk, on the real Valkey: four embedders use the whole quota, and a search goes before them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from services.embedder.limiter import permits, promise
from services.embedder.limiter import valkey as valkey_limiter
from services.valkey import connection
from tests.support.valkey import ValkeyServer

EMBEDDERS = 4
LATE_SECONDS = 0.15


class Line:
    """Permits of four processes over one limiter; bulk always wants more than there is."""

    def __init__(self, client: redis.asyncio.Redis, quota: promise.Quota, bulk_tokens: int) -> None:
        self.replicas = [permits.Permits(valkey_limiter.ValkeyLimiter(client, "m", quota)) for _ in range(EMBEDDERS)]
        self.bulk_tokens = bulk_tokens
        self.started = 0
        self._client = client
        self._worst_seconds = 0.0

    async def bulk(self, permit: permits.Permits) -> None:
        while True:
            await permit.take(lambda: self.bulk_tokens)
            self.started += 1

    async def watch(self) -> None:
        """See what a busy machine adds to a wake-up and a round trip to Valkey."""
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            await self._client.ping()
            self._worst_seconds = max(self._worst_seconds, time.monotonic() - due)

    @property
    def late_seconds(self) -> float:
        """What may come on top of a wait: a little, and the worst that was seen for each process that asks."""
        return LATE_SECONDS + EMBEDDERS * self._worst_seconds

    async def search(self, replica: int) -> float:
        began = time.monotonic()
        await self.replicas[replica].take(lambda: 8, search=True)
        return time.monotonic() - began


@contextlib.asynccontextmanager
async def busy(valkey: ValkeyServer, quota: promise.Quota, bulk_tokens: int) -> AsyncIterator[Line]:
    """A line whose quota is used up, from its first bulk request on."""
    client = connection.connect(valkey.url)
    await client.flushall()
    line = Line(client, quota, bulk_tokens)
    tasks = [asyncio.create_task(each.run()) for each in line.replicas]
    tasks.append(asyncio.create_task(line.watch()))
    tasks += [asyncio.create_task(line.bulk(each)) for each in line.replicas for _ in range(3)]
    try:
        async with asyncio.timeout(30):
            while not line.started:
                await asyncio.sleep(0.01)
        yield line
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.aclose()


# The token limit's bulk requests are two seconds of it, as packing makes them.
QUOTAS = {
    "requests": (promise.Quota(5.0, 0.0, 300_000), 1),
    "tokens": (promise.Quota(0.0, 1e6, 300_000), 33_333),
    "both": (promise.Quota(5.0, 1e6, 300_000), 33_333),
}


@pytest.mark.parametrize("name", QUOTAS)
async def test_one_search_waits_two_seconds_and_a_permit_at_most(valkey: ValkeyServer, name: str) -> None:
    quota, bulk_tokens = QUOTAS[name]
    interval = 1 / quota.requests_per_second if quota.requests_per_second else 0.0
    async with busy(valkey, quota, bulk_tokens) as line:
        for replica in range(EMBEDDERS):
            waited = await line.search(replica)
            assert waited <= 2 + interval + line.late_seconds


@pytest.mark.parametrize("name", QUOTAS)
async def test_five_searches_at_once_wait_three_seconds_at_most(valkey: ValkeyServer, name: str) -> None:
    quota, bulk_tokens = QUOTAS[name]
    async with busy(valkey, quota, bulk_tokens) as line:
        waits = await asyncio.gather(*(line.search(number % EMBEDDERS) for number in range(5)))
        assert max(waits) <= 3 + line.late_seconds


async def test_bulk_goes_on_after_the_searches(valkey: ValkeyServer) -> None:
    quota, bulk_tokens = QUOTAS["requests"]
    async with busy(valkey, quota, bulk_tokens) as line:
        await asyncio.gather(*(line.search(number % EMBEDDERS) for number in range(5)))
        before = line.started
        async with asyncio.timeout(30):
            while line.started < before + 3:
                await asyncio.sleep(0.01)
