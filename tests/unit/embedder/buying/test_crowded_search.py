"""Searches at twice the quota, in virtual time: what it allows is answered, the rest told so, and bulk goes on."""

import asyncio
import random

import pytest

from services.embedder.buying import interactive
from services.embedder.limiter import permits
from services.embedder.limiter.memory import MemoryLimiter
from services.embedder.limiter.promise import Answer, Asker, Quota
from services.runtime import errors
from tests.support import embeddings, virtual_time

SECONDS = 120.0
REPLICAS = 2
PURCHASE_SECONDS = 0.3


class LateLimiter(MemoryLimiter):
    """Questions and answers are on their way for a while, or the one who asks first would always be the same."""

    async def acquire(self, tokens: int, asker: Asker = Asker.BULK) -> Answer:
        await asyncio.sleep(random.uniform(0, 0.005))
        answer = await super().acquire(tokens, asker)
        await asyncio.sleep(random.uniform(0, 0.005))
        return answer


class Line:
    """Replicas that are asked for searches at random moments, beside bulk that always wants more."""

    def __init__(self, quota: Quota) -> None:
        self.limiter = LateLimiter(quota)
        self.replicas = [permits.Permits(self.limiter) for _ in range(REPLICAS)]
        self.source = embeddings.FakeEmbeddings(PURCHASE_SECONDS)
        self.desks = [interactive.Interactive(self.source, each, self.limiter) for each in self.replicas]
        self.answered: list[float] = []
        self.refused: list[float] = []
        self.told: list[float] = []
        self.unavailable = 0
        self.bulk = 0

    async def search(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        came = loop.time()
        try:
            await self.desks[number % REPLICAS].embed(["a text"])
        except errors.ResourceExhausted as refusal:
            self.refused.append(loop.time() - came)
            self.told.append(refusal.retry_seconds or 0.0)
        except errors.Unavailable:
            self.unavailable += 1
        else:
            self.answered.append(loop.time() - came)

    async def buy(self, permit: permits.Permits, tokens: int) -> None:
        while True:
            await permit.take(lambda: tokens)
            self.bulk += 1

    async def run(self, per_second: float, bulk_tokens: int | None) -> None:
        tasks = [asyncio.create_task(each.run()) for each in self.replicas]
        if bulk_tokens:
            tasks += [asyncio.create_task(self.buy(each, bulk_tokens)) for each in self.replicas for _ in range(3)]
        await asyncio.sleep(10)  # the starting debt is repaid, bulk is at its rate
        self.bulk = 0
        end = asyncio.get_running_loop().time() + SECONDS
        searches = []
        while asyncio.get_running_loop().time() < end:
            searches.append(asyncio.create_task(self.search(len(searches))))
            await asyncio.sleep(random.expovariate(per_second))
        self.in_time = len(self.answered), self.bulk
        await asyncio.gather(*searches)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def crowded(quota: Quota, per_second: float, bulk_tokens: int | None) -> Line:
    async def scenario() -> Line:
        random.seed(4)
        line = Line(quota)
        await line.run(per_second, bulk_tokens)
        return line

    return virtual_time.run(scenario())


@pytest.mark.parametrize("per_second", [6.0, 10.0, 50.0])
def test_without_bulk_what_the_quota_allows_is_answered_and_the_rest_refused(per_second: float) -> None:
    line = crowded(Quota(5.0, 0.0, 300_000), per_second, None)

    answered, _ = line.in_time
    assert answered >= 0.95 * 5.0 * SECONDS
    assert line.unavailable == 0
    assert all(1 <= seconds <= 60 for seconds in line.told)
    assert max(line.answered) <= interactive.WAIT_SECONDS + 3 * PURCHASE_SECONDS
    # Nearly all that are refused are refused when they come: nothing is waited for in vain.
    assert sum(seconds < 0.1 for seconds in line.refused) >= 0.95 * len(line.refused)
    # And none is paid for that is not answered.
    assert len(line.source.requests) == len(line.answered)


@pytest.mark.parametrize(
    ("quota", "bulk_tokens", "allowed"),
    [
        pytest.param(Quota(5.0, 0.0, 300_000), 300_000, 5.0, id="requests"),
        pytest.param(Quota(5.0, 1e6, 300_000), 33_333, 5.0, id="both"),
    ],
)
def test_beside_bulk_searches_have_their_half_and_bulk_has_its_own(
    quota: Quota, bulk_tokens: int, allowed: float
) -> None:
    line = crowded(quota, 2 * allowed, bulk_tokens)

    answered, bulk = line.in_time
    bulk_alone = allowed if not quota.tokens_per_minute else quota.tokens_per_second / bulk_tokens
    assert answered >= 0.95 * allowed / 2 * SECONDS
    assert bulk >= 0.9 * bulk_alone / 2 * SECONDS
    assert line.unavailable == 0
    assert len(line.source.requests) == len(line.answered)


def test_under_the_quota_nobody_is_refused_and_bulk_has_the_rest() -> None:
    line = crowded(Quota(5.0, 0.0, 300_000), 1.5, 300_000)

    assert line.refused == []
    assert line.unavailable == 0
    assert len(line.answered) + line.bulk >= 0.95 * 5.0 * SECONDS
    assert max(line.answered) <= 5.0


def test_bulk_alone_has_everything() -> None:
    line = crowded(Quota(5.0, 0.0, 300_000), 0.001, 300_000)

    assert line.bulk >= 0.99 * 5.0 * SECONDS


@pytest.mark.parametrize("rate", [0.0, 5.0])
def test_a_line_that_is_empty_again_refuses_nobody(rate: float) -> None:
    async def scenario() -> None:
        line = Line(Quota(rate, 0.0, 300_000))
        tasks = [asyncio.create_task(each.run()) for each in line.replicas]
        await asyncio.gather(*(line.search(0) for _ in range(200)))
        for number in range(20):
            await line.search(number)
        assert len(line.refused) <= 180
        assert line.answered[-20:] == [seconds for seconds in line.answered[-20:] if seconds < 1.0]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    virtual_time.run(scenario())
