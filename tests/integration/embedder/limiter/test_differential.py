"""The limiter in memory and the Lua on the real Valkey answer alike, whatever is asked in whatever order."""

import asyncio
import dataclasses
from typing import Any

import hypothesis
import pytest
import redis.asyncio
from hypothesis import strategies as st

from services.embedder.limiter import memory as memory_limiter
from services.embedder.limiter import promise
from services.embedder.limiter import valkey as valkey_limiter
from services.embedder.limiter.promise import Asker, Quota, Verdict
from services.valkey import connection, scripts
from tests.support.valkey import ValkeyServer

START = 1_700_000_000.0

acquisitions = st.tuples(st.just("acquire"), st.integers(0, 300_000), st.sampled_from(list(Asker)))
pauses = st.tuples(
    st.just("pause"),
    st.sampled_from([0.0, 0.3, 1.0, 20.0, 1e9, float("inf"), float("nan"), -5.0]),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 600.0, 1e6, float("nan"), -1.0]),
)
passings = st.tuples(st.just("pass"), st.sampled_from([0.001, 0.019, 0.05, 0.2, 1.0, 2.0, 5.0, 40.0]))
jumps = st.tuples(st.just("jump"), st.sampled_from([-3600.0, -2.0, 3600.0]))
others = st.sampled_from([("block",), ("unblock",), ("flush",), ("touch",), ("look",), ("sleep",)])
steps = st.lists(st.one_of(acquisitions, acquisitions, pauses, passings, passings, jumps, others), max_size=60)
quotas = st.builds(
    Quota, st.sampled_from([0.0, 0.2, 5.0, 300.0]), st.sampled_from([0.0, 60.0, 1e6]), st.sampled_from([8192, 300_000])
)


class Both:
    """The same steps done to both; the clock of both is ours."""

    def __init__(self, client: redis.asyncio.Redis, quota: Quota) -> None:
        self.now = START
        self.client = client
        self.memory = memory_limiter.MemoryLimiter(quota, lambda: self.now)
        self.valkey = valkey_limiter.ValkeyLimiter(client, "m", quota)
        self.valkey._scripts = self  # type: ignore[assignment]
        self.scripts = {name: self._script(name) for name in ("acquire", "pause", "touch", "look")}
        self.told = 0.0

    def _script(self, name: str) -> Any:
        """The same text, but that it takes the time from us: Valkey's own cannot be set."""
        text = scripts.source("services.embedder.limiter", name, ["state"])
        assert "redis.call('TIME')" in text
        return self.client.register_script(text.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}"))

    async def run(self, name: str, keys: list[str], args: list[Any]) -> Any:
        """In place of `scripts.Scripts`."""
        microseconds = round(self.now * 1e6)
        return await self.scripts[name](keys=keys, args=[*args, microseconds // 1_000_000, microseconds % 1_000_000])

    async def acquire(self, tokens: int, asker: Asker) -> None:
        ours, real = await self.memory.acquire(tokens, asker), await self.valkey.acquire(tokens, asker)
        assert real.verdict is ours.verdict
        # A learned limit of one a minute is kept to nine decimals: 2e-8 of it.
        assert real.seconds == pytest.approx(ours.seconds, abs=1e-4, rel=1e-7)
        assert real.tokens_per_second == pytest.approx(ours.tokens_per_second, rel=1e-4, abs=1e-4)
        self.told = ours.seconds

    async def pause(self, seconds: float, tokens_exceeded: bool, limit: float) -> None:
        for each in (self.memory, self.valkey):
            await each.pause(seconds, tokens_exceeded=tokens_exceeded, limit_per_minute=limit)

    async def block(self) -> None:
        for each in (self.memory, self.valkey):
            await each.block("no money")
            assert await each.blocked() == "no money"

    async def unblock(self) -> None:
        for each in (self.memory, self.valkey):
            await each.unblock()
            assert await each.blocked() == ""

    async def touch(self) -> None:
        for each in (self.memory, self.valkey):
            await each.touch()

    async def look(self) -> None:
        before = await self.client.hgetall(self.valkey._keys[0])
        ours, real = await self.memory.look(), await self.valkey.look()
        assert dataclasses.astuple(real)[:-1] == pytest.approx(dataclasses.astuple(ours)[:-1], rel=1e-4, abs=1e-4)
        assert real.blocked == ours.blocked
        assert await self.client.hgetall(self.valkey._keys[0]) == before

    async def flush(self) -> None:
        self.memory.flush()
        await self.client.flushdb()

    async def sleep(self) -> None:
        # Never just at the border, where the last bit of a double decides.
        self.now += round(self.told, 6) + 0.0005

    async def do(self, step: Any) -> None:
        name, *arguments = step
        if name in {"pass", "jump"}:
            self.now += arguments[0]
        else:
            await getattr(self, name)(*arguments)
        self.now += 0.000137


@hypothesis.settings(
    max_examples=120, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.example(  # one a minute, in six decimals a second, was off by 20 ppm
    quota=Quota(5.0, 0.0, 8192),
    script=[("touch",), ("pass", 5.0), ("pause", 0.0, False, 1.0), *[("acquire", 1, Asker.BULK)] * 2],
)
@hypothesis.given(quota=quotas, script=steps)
def test_the_fake_and_the_lua_answer_alike(valkey: ValkeyServer, quota: Quota, script: list[Any]) -> None:
    async def scenario() -> None:
        client = connection.connect(valkey.url)
        await client.flushdb()
        both = Both(client, quota)
        for step in script:
            await both.do(step)
        await client.aclose()

    asyncio.run(scenario())


async def test_the_lua_goes_by_valkeys_own_clock(valkey: ValkeyServer) -> None:
    client = connection.connect(valkey.url)
    subject = valkey_limiter.ValkeyLimiter(client, "m", Quota(5, 0, 300_000))
    first = await subject.acquire(1)
    assert first.verdict is Verdict.WAIT
    assert 1.5 < first.seconds <= promise.STARTING_DEBT_SECONDS
    second = await subject.acquire(1)
    assert second.seconds < first.seconds
    await client.aclose()


async def test_without_valkey_nothing_starts(valkey: ValkeyServer) -> None:
    client = connection.connect("redis://127.0.0.1:1/0")
    subject = valkey_limiter.ValkeyLimiter(client, "m", Quota(5, 0, 300_000))
    for call in (subject.acquire(1), subject.touch(), subject.blocked(), subject.claim_probe(60), subject.unblock()):
        with pytest.raises(promise.LimiterUnavailable):
            await call
    await client.aclose()


async def test_one_probe_a_period_for_everybody(valkey: ValkeyServer) -> None:
    client = connection.connect(valkey.url)
    one, other = (valkey_limiter.ValkeyLimiter(client, "m", Quota(5, 0, 1)) for _ in range(2))
    assert await one.claim_probe(60)
    assert not await other.claim_probe(60)
    await client.aclose()


async def test_a_grant_that_took_long_to_arrive_is_dropped(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connection.connect(valkey.url)
    subject = valkey_limiter.ValkeyLimiter(client, "m", Quota(0, 0, 1))
    assert (await subject.acquire(1)).verdict is Verdict.START
    monkeypatch.setattr(promise, "STALE_GRANT_SECONDS", -1.0)
    assert await subject.acquire(1) == promise.Answer(Verdict.WAIT)
    await client.aclose()
