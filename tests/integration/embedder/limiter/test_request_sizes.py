"""Learned sizes on a real Valkey: the least holds, for a while, also where memory is full."""

import asyncio

import pytest

from services.embedder.limiter import request_sizes
from services.embedder.limiter.request_sizes import Kind
from services.valkey import connection
from tests.support import valkey as valkey_server


async def test_the_least_is_known_for_ten_minutes_from_when_it_was_learned() -> None:
    with valkey_server.running() as server:
        client = connection.connect(server.url)
        one, other = (request_sizes.ValkeySizes(client, "m") for _ in range(2))
        assert await other.known() == {}
        await client.config_set("maxmemory", 1)

        await one.learn(Kind.INPUTS, 96)
        await one.learn(Kind.INPUTS, 32)
        (name,) = await client.keys("*request_inputs:m")
        await client.pexpire(name, 60_000)
        await other.learn(Kind.INPUTS, 500)
        await one.learn(Kind.TOKENS, 40_000)

        assert await other.known() == {Kind.INPUTS: 32, Kind.TOKENS: 40_000}
        assert await request_sizes.ValkeySizes(client, "another").known() == {}
        assert await client.pttl(name) <= 60_000, "a larger one confirms nothing"
        assert 590_000 < await client.pttl(name.replace(b"inputs", b"tokens")) <= 600_000
        await client.pexpire(name, 1)
        await asyncio.sleep(0.05)
        assert await other.known() == {Kind.TOKENS: 40_000}
        await client.aclose()


async def test_without_valkey_nothing_is_known() -> None:
    with valkey_server.running() as server:
        client = connection.connect(server.url)
        subject = request_sizes.ValkeySizes(client, "m")
        await subject.learn(Kind.INPUTS, 32)
        server.stop(kill=True)
        for call in (subject.known(), subject.learn(Kind.INPUTS, 10)):
            with pytest.raises(request_sizes.LimiterUnavailable):
                await call
        await client.aclose()
