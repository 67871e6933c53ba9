"""Tokens of a key, counted for all processes together in a real Valkey."""

import asyncio
import contextlib
import datetime
import itertools
from collections.abc import Iterator

import pytest

from services.valkey import connection, tokens
from tests.support import proxy
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
    assert len(kept) == 4  # of each key its sum, and what is in it
    assert all(86_400 < seconds <= tokens.KEPT_SECONDS for seconds in kept)


async def test_what_is_spent_while_valkey_is_away_is_added_when_it_is_back() -> None:
    with valkey_server.running() as server:
        async with connection.connect(server.url) as client:
            counted = tokens.ValkeyTokens(client, clock=lambda: DAY)
            counted.spent("ann", 5)
            server.stop(kill=True)
            await counted.flush()
            assert await counted.used("ann") == 5  # callers are let through on what is known
            counted.spent("ann", 2)
            server.start()
            await counted.flush()

            assert await tokens.ValkeyTokens(client, clock=lambda: DAY).used("ann") == 7


@pytest.fixture
def between(valkey: valkey_server.ValkeyServer) -> Iterator[proxy.Proxy]:
    """What answers can be lost in, on their way from Valkey."""
    made = proxy.Proxy(valkey.port)
    with contextlib.closing(made):
        yield made


@pytest.mark.parametrize("lost", [proxy.Kind.RESET_ANSWER, proxy.Kind.LOSE_ANSWER])
async def test_what_is_added_is_added_once_though_answers_are_lost(
    valkey: valkey_server.ValkeyServer, between: proxy.Proxy, lost: proxy.Kind
) -> None:
    through, direct = f"redis://127.0.0.1:{between.port}/0", valkey.url
    async with connection.connect(through, answer_seconds=2.0) as client, connection.connect(direct) as other:
        counted, seen = (tokens.ValkeyTokens(each, clock=lambda: DAY) for each in (client, other))
        counted.spent("bob", 1)
        await counted.flush()  # the script is known from now on
        counted.spent("ann", 100)
        with between.toxic(lost, match=b":ann:") as toxic:
            for _ in range(3):
                await counted.flush()
        assert toxic.fired == 3
        assert await seen.used("ann") == 100
        assert await counted.used("ann") == 100  # though it does not know yet that it is in there
        counted.spent("ann", 7)
        assert await counted.used("ann") == 107

        await counted.flush()  # both: at the end of a process there is no other

        assert await seen.used("ann") == await counted.used("ann") == 107


async def test_a_call_that_arrives_after_its_repetition_adds_nothing(valkey: valkey_server.ValkeyServer) -> None:
    """One that hung on its way, while a later amount has been added too."""
    async with connection.connect(valkey.url) as client:
        counted = tokens.ValkeyTokens(client, clock=lambda: DAY)
        sent: list[tuple[object, ...]] = []
        execute = client.execute_command

        async def noted(*command: object, **options: object) -> object:
            sent.append(command)
            return await execute(*command, **options)

        client.execute_command = noted
        for amount in (5, 2):
            counted.spent("ann", amount)
            await counted.flush()
        late = [command for command in sent if command[0] == "EVALSHA"]
        for command in late:
            await execute(*command)
        assert len(late) >= 2  # one more where Valkey did not know the script

        assert await counted.used("ann") == 7


async def test_a_flush_that_is_cancelled_loses_nothing_and_counts_nothing_twice(
    valkey: valkey_server.ValkeyServer,
) -> None:
    """At each of its steps."""
    async with connection.connect(valkey.url) as client:
        for steps in itertools.count():
            keys = [f"ann-{steps}", f"bob-{steps}"]
            counted = tokens.ValkeyTokens(client, clock=lambda: DAY)
            for key in keys:
                counted.spent(key, 5)
            flush = asyncio.create_task(counted.flush())
            for _ in range(steps):
                await asyncio.sleep(0)
            over = flush.done()
            flush.cancel()
            await asyncio.gather(flush, return_exceptions=True)
            await counted.flush()
            other = tokens.ValkeyTokens(client, clock=lambda: DAY)
            assert [await other.used(key) for key in keys] == [5, 5]
            if over:
                break
