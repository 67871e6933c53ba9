"""Tokens of a key, counted for all processes together in a real Valkey."""

import asyncio
import datetime

from services.valkey import connection, tokens
from tests.support import valkey as valkey_server

DAY = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


async def test_what_several_processes_spend_is_one_sum_a_key_and_day(valkey: valkey_server.ValkeyServer) -> None:
    now = [DAY]
    async with connection.connect(valkey.url) as one, connection.connect(valkey.url) as two:
        here, there = (tokens.ValkeyTokens(client, clock=lambda: now[0]) for client in (one, two))
        here.spent("ann", 5)
        assert await here.used("ann") == 5  # at once, where it was spent
        there.spent("ann", 7)
        there.spent("bob", 1)
        await here.flush()
        await there.flush()

        assert [await each.used("ann") for each in (here, there)] == [12, 12]
        assert await here.used("bob") == 1
        now[0] += datetime.timedelta(days=1)
        assert await here.used("ann") == 0

    with valkey.client() as client:
        kept = [int(client.ttl(name)) for name in client.keys("*tokens:*")]  # type: ignore[arg-type, union-attr]
    assert len(kept) == 2
    assert all(86_400 < seconds <= tokens.KEPT_SECONDS for seconds in kept)


async def test_what_is_spent_while_valkey_is_away_is_added_when_it_is_back() -> None:
    with valkey_server.running() as server:
        async with connection.connect(server.url, answer_seconds=1.0) as client:
            counted = tokens.ValkeyTokens(client, clock=lambda: DAY)
            counted.spent("ann", 5)
            server.stop(kill=True)
            await counted.flush()
            assert await counted.used("ann") == 5  # callers are let through on what is known
            counted.spent("ann", 2)
            server.start()
            await counted.flush()

            assert await tokens.ValkeyTokens(client, clock=lambda: DAY).used("ann") == 7


async def test_a_flush_that_is_cancelled_loses_nothing(valkey: valkey_server.ValkeyServer) -> None:
    async with connection.connect(valkey.url) as client:
        counted = tokens.ValkeyTokens(client, clock=lambda: DAY)
        for key in ("ann", "bob"):
            counted.spent(key, 5)
        flush = asyncio.create_task(counted.flush())
        await asyncio.sleep(0)
        flush.cancel()
        await asyncio.gather(flush, return_exceptions=True)
        await counted.flush()
        other = tokens.ValkeyTokens(client, clock=lambda: DAY)
        assert await other.used("bob") == 5
        assert await other.used("ann") in (5, 10)  # whose answer was not waited for
