"""The oracle of the limiter, in virtual time: whatever happens no window is over the rate, and the rate is met."""

import asyncio
import random
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from services.embedder.limiter import permits, promise
from services.embedder.limiter.memory import MemoryLimiter
from services.embedder.limiter.promise import Asker, Quota, Verdict
from tests.support import virtual_time

ROUNDING = 1e-6


class Line:
    """Several replicas that ask as permits do, each a little late, and what they started: (time, tokens)."""

    def __init__(self, quota: Quota, seed: int, most_late: float = 0.02) -> None:
        self.quota = quota
        self.limiter = MemoryLimiter(quota)
        self.random = random.Random(seed)
        self.most_late = most_late
        self.started: list[tuple[float, int]] = []

    async def replica(self, largest: int, *, full: bool = False) -> None:
        while True:
            tokens = largest if full else self.random.randint(1, largest)
            asker = Asker.SEARCH if self.random.random() < 0.05 and not full else Asker.BULK
            answer = await self.limiter.acquire(tokens, asker)
            while answer.verdict is Verdict.WAIT:
                await asyncio.sleep(answer.seconds + self.random.uniform(0, self.most_late))
                answer = await self.limiter.acquire(tokens, asker)
            self.started.append((asyncio.get_running_loop().time(), tokens))

    async def run(self, replicas: int, seconds: float, largest: int, *, full: bool = False, fate: Any = None) -> None:
        tasks = [asyncio.create_task(self.replica(largest, full=full)) for _ in range(replicas)]
        if fate is not None:
            tasks.append(asyncio.create_task(fate(self)))
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def check(self, largest: int) -> None:
        """Every window from one start to another; a wider one holds no more."""
        rate, per_second = self.quota.requests_per_second, self.quota.tokens_per_second
        for first in range(len(self.started)):
            tokens = 0
            for last in range(first, min(len(self.started), first + 60)):
                window = self.started[last][0] - self.started[first][0]
                tokens += self.started[last][1]
                if rate:
                    assert last - first + 1 <= rate * (window + 0.02) + 1 + ROUNDING
                if per_second:
                    assert tokens <= per_second * window + largest + ROUNDING


async def _trouble(line: Line) -> None:
    """Flushes, restarts of replicas, pauses, 429s with and without headers."""
    while True:
        await asyncio.sleep(line.random.expovariate(1 / 3))
        what = line.random.randrange(3)
        if what == 0:
            line.limiter.flush()
        elif what == 1:
            await line.limiter.pause(line.random.uniform(0, 4), tokens_exceeded=line.random.random() < 0.5)
        else:
            await line.limiter.pause(0.0, tokens_exceeded=False, limit_per_minute=line.random.choice([0, 30, 1e9]))


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    rate=st.sampled_from([0.0, 0.3, 1.0, 5.0, 60.0]),
    per_minute=st.sampled_from([0.0, 6e4, 1e6]),
    replicas=st.integers(1, 5),
    late=st.sampled_from([0.0, 0.02, 0.4]),
    seed=st.integers(0, 2**32),
)
def test_no_window_is_over_the_rate(rate: float, per_minute: float, replicas: int, late: float, seed: int) -> None:
    hypothesis.assume(rate or per_minute)
    # As packing does: a request is two seconds of the token limit at most.
    largest = int(per_minute / 30) or 300_000

    async def scenario() -> None:
        line = Line(Quota(rate, per_minute, 300_000), seed, late)
        await line.run(replicas, 40, largest, fate=_trouble)
        line.check(largest)

    virtual_time.run(scenario())


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(
    quota=st.sampled_from([(5.0, 0.0), (0.5, 0.0), (40.0, 0.0), (0.0, 1e6), (5.0, 1e6)]),
    replicas=st.integers(2, 5),
    seed=st.integers(0, 2**32),
)
def test_the_rate_is_reached_on_average(quota: tuple[float, float], replicas: int, seed: int) -> None:
    rate, per_minute = quota
    largest = int(per_minute / 30) or 1

    async def scenario() -> None:
        line = Line(Quota(rate, per_minute, 300_000), seed)
        await line.limiter.touch()
        await asyncio.sleep(promise.STARTING_DEBT_SECONDS)
        await line.run(replicas, 200, largest, full=True)
        line.check(largest)
        if per_minute:
            tokens = sum(tokens for _, tokens in line.started)
            assert tokens >= 0.99 * per_minute / 60 * 200
        else:
            assert len(line.started) >= 0.99 * rate * 200

    virtual_time.run(scenario())


@pytest.mark.parametrize("step", [-3600.0, -1.5, 3600.0])
def test_a_clock_that_steps_neither_stalls_the_line_nor_doubles_the_spend(step: float) -> None:
    async def scenario() -> None:
        ahead = 0.0
        loop = asyncio.get_running_loop()
        line = Line(Quota(5, 0, 300_000), seed=1)
        line.limiter = MemoryLimiter(line.quota, lambda: loop.time() + ahead)
        await line.limiter.pause(3.0, tokens_exceeded=False)
        running = asyncio.create_task(line.run(2, 60, 1))
        await asyncio.sleep(10)
        before, ahead = len(line.started), step
        await asyncio.sleep(10)
        assert len(line.started) - before >= 0.85 * 5 * 10
        ahead = 0.0
        await running
        late = [at for at, _ in line.started if at > loop.time() - 20]
        assert len(late) >= 0.95 * 5 * 20
        # By the true clock too, but for the one that a step forward lets through at once.
        extra = 1 if step > 0 else 0
        for first, (begin, _) in enumerate(line.started):
            window = [at for at, _ in line.started[first:] if at <= begin + 1.0]
            assert len(window) <= 6 + extra

    virtual_time.run(scenario())


def test_a_429_pauses_everybody_until_its_end_and_slows_down_once() -> None:
    async def scenario() -> None:
        line = Line(Quota(10, 0, 300_000), seed=2)
        running = asyncio.create_task(line.run(4, 60, 1))
        await asyncio.sleep(10)
        told = asyncio.get_running_loop().time()
        for _ in range(8):  # all that were under way are refused
            await line.limiter.pause(5.0, tokens_exceeded=False)
        await running
        assert not [at for at, _ in line.started if told < at < told + 5]
        after = [at for at, _ in line.started if told + 5 <= at < told + 6]
        assert 6 <= len(after) <= 8  # 0.7 of 10
        last = [at for at, _ in line.started if at > told + 30]
        assert len(last) >= 0.97 * 10 * 19  # it has climbed back

    virtual_time.run(scenario())


def test_without_a_limit_a_429_teaches_one() -> None:
    async def scenario() -> None:
        limiter = MemoryLimiter(Quota(0, 0, 300_000))
        for _ in range(100):
            assert (await limiter.acquire(10)).verdict is Verdict.START
            await asyncio.sleep(0.02)
        await limiter.pause(0.0, tokens_exceeded=False)
        started = 0
        async with asyncio.timeout(None):
            end = asyncio.get_running_loop().time() + 5
            while asyncio.get_running_loop().time() < end:
                answer = await limiter.acquire(10)
                started += answer.verdict is Verdict.START
                await asyncio.sleep(answer.seconds or 0.001)
        # 50 a second had gone; 0.7 of that and slowly more, whatever moment of a second the 429 came in.
        assert 0.65 * 50 * 5 <= started <= 0.9 * 50 * 5

    virtual_time.run(scenario())


def test_a_limit_named_by_the_provider_tightens_and_never_loosens() -> None:
    async def per_second(limiter: MemoryLimiter) -> int:
        started, end = 0, asyncio.get_running_loop().time() + 10
        while asyncio.get_running_loop().time() < end:
            answer = await limiter.acquire(1)
            started += answer.verdict is Verdict.START
            await asyncio.sleep(answer.seconds or 0.0005)
        return started

    async def scenario() -> None:
        tight, loose = MemoryLimiter(Quota(10, 0, 1)), MemoryLimiter(Quota(10, 0, 1))
        await tight.pause(0, tokens_exceeded=False, limit_per_minute=120)
        await loose.pause(0, tokens_exceeded=False, limit_per_minute=1e9)
        await asyncio.sleep(30)
        assert await per_second(tight) <= 21
        assert 99 <= await per_second(loose) <= 102

    virtual_time.run(scenario())


def test_absurd_pauses_are_bounded() -> None:
    async def scenario() -> None:
        for seconds in (float("inf"), float("nan"), 1e12, -1e12):
            limiter = MemoryLimiter(Quota(10, 0, 1))
            await limiter.pause(seconds, tokens_exceeded=False)
            answer = await limiter.acquire(1)
            assert answer.seconds <= promise.LONGEST_PAUSE_SECONDS

    virtual_time.run(scenario())


def test_one_text_over_the_limit_is_paid_for_in_full() -> None:
    async def scenario() -> None:
        limiter = MemoryLimiter(Quota(0, 600, 300_000))  # 10 a second
        await limiter.touch()
        await asyncio.sleep(2)
        assert (await limiter.acquire(8_000)).verdict is Verdict.START
        await asyncio.sleep(1)
        assert (await limiter.acquire(1)).seconds == pytest.approx(799)

    virtual_time.run(scenario())


def test_without_limits_nothing_waits_for_the_starting_debt() -> None:
    async def scenario() -> None:
        limiter = MemoryLimiter(Quota(0, 0, 300_000))
        for _ in range(1_000):
            assert (await limiter.acquire(300_000)).verdict is Verdict.START

    virtual_time.run(scenario())


def test_a_blocked_account_lets_only_the_probe_through_and_still_at_the_rate() -> None:
    async def scenario() -> None:
        limiter = MemoryLimiter(Quota(5, 0, 300_000))
        await limiter.touch()
        await limiter.block("no money")
        await asyncio.sleep(2)
        assert (await limiter.acquire(1)).verdict is Verdict.BLOCKED
        assert (await limiter.acquire(1, Asker.SEARCH)).verdict is Verdict.BLOCKED
        assert (await limiter.acquire(1, Asker.PROBE)).verdict is Verdict.START
        await limiter.unblock()
        assert (await limiter.acquire(1)).verdict is Verdict.WAIT

    virtual_time.run(scenario())


class LateLimiter(MemoryLimiter):
    """Answers take up to 20 ms to come and to go."""

    async def acquire(self, tokens: int, asker: Asker = Asker.BULK) -> promise.Answer:
        await asyncio.sleep(random.uniform(0, 0.01))
        answer = await super().acquire(tokens, asker)
        await asyncio.sleep(random.uniform(0, 0.01))
        return answer


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    quota=st.sampled_from([(5.0, 0.0), (0.0, 1e6), (5.0, 1e6), (1.0, 1e5)]),
    searches=st.sampled_from([1, 5]),
    spread=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_searches_overtake_bulk(quota: tuple[float, float], searches: int, spread: bool, seed: int) -> None:
    rate, per_minute = quota
    bulk_tokens = int(per_minute / 30) or 1

    async def bulk(permit: permits.Permits) -> None:
        while True:
            await permit.take(lambda: bulk_tokens)

    async def search(permit: permits.Permits) -> float:
        began = asyncio.get_running_loop().time()
        await permit.take(lambda: 8, search=True)
        return asyncio.get_running_loop().time() - began

    async def scenario() -> None:
        random.seed(seed)
        line = LateLimiter(Quota(rate, per_minute, 300_000))
        replicas = [permits.Permits(line) for _ in range(4)]
        tasks = [asyncio.create_task(each.run()) for each in replicas]
        tasks += [asyncio.create_task(bulk(each)) for each in replicas for _ in range(3)]
        await asyncio.sleep(10 + random.uniform(0, 3))
        asked = [replicas[number % 4 if spread else 0] for number in range(searches)]
        waited = await asyncio.gather(*(search(each) for each in asked))
        interval = 1 / rate if rate else 0.0
        lateness = 0.05
        assert min(waited) <= 2 + interval + lateness
        # Bulk keeps half of each limit while both wait, in requests of two seconds where tokens bound it.
        both_wait = 2 * searches * interval + 2 if searches > 1 else interval
        assert max(waited) <= 2 + both_wait + lateness * searches
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    virtual_time.run(scenario())
