"""The bucket on a real Valkey: shared, by its clock, and limited also without it."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from services.valkey import connection, rates
from tests.support import valkey as valkey_server


@pytest.fixture
async def clients(valkey: valkey_server.ValkeyServer) -> AsyncIterator[list[redis.asyncio.Redis]]:
    made = [connection.connect(valkey.url) for _ in range(3)]
    yield made
    for each in made:
        await each.aclose()


async def test_replicas_share_one_bucket(clients: list[redis.asyncio.Redis]) -> None:
    replicas = [rates.ValkeyRate(client) for client in clients]

    began = time.monotonic()
    waits = await asyncio.gather(*(replicas[number % 3].take("ann", 10) for number in range(30)))
    lasted = time.monotonic() - began

    granted = sum(wait == 0 for wait in waits)
    assert 10 <= granted <= 10 + 10 * lasted + 1  # a few more are earned while the thirty are asked
    assert all(0 < wait <= 0.1 for wait in waits if wait)
    assert await replicas[0].take("bob", 10) == 0


async def test_over_time_the_rate_is_met_and_not_exceeded(clients: list[redis.asyncio.Redis]) -> None:
    rate = rates.ValkeyRate(clients[0])
    began, granted, lasted = time.monotonic(), 0, 0.0

    while time.monotonic() < began + 1.5:
        wait = await rate.take("ann", 20)
        if wait == 0:
            granted, lasted = granted + 1, time.monotonic() - began
        await asyncio.sleep(wait)  # as retry-after says

    assert 20 + 20 * lasted * 0.7 <= granted <= 20 + 20 * lasted + 1


async def test_a_bucket_is_forgotten_when_it_is_full_again(clients: list[redis.asyncio.Redis]) -> None:
    await rates.ValkeyRate(clients[0]).take("ann", 0.1)

    assert 0 < await clients[0].pttl("{vectorline}:rate:ann") <= 11_000


async def test_without_valkey_the_process_counts_for_itself() -> None:
    with valkey_server.running() as server:
        client = connection.connect(server.url)
        rate = rates.ValkeyRate(client)
        assert await rate.take("ann", 2) == 0
        server.stop(kill=True)

        began = time.monotonic()
        passed = [await rate.take("ann", 2) == 0 for _ in range(4)]

        assert passed[:2] == [True, True]
        assert sum(passed[2:]) <= 2 * (time.monotonic() - began)  # none, unless the machine took half a second
        await client.aclose()
