"""Pacing: permits come in order and just in time, a pause ends without a herd, and waiting costs no memory."""

import asyncio
import gc
import itertools
import tracemalloc

import pytest

from services.embedder.buying import batching, packing
from services.embedder.buying.pending_batch import PendingBatch
from services.embedder.limiter import permits, promise
from services.embedder.limiter.memory import MemoryLimiter
from services.embedder.limiter.promise import Asker, Quota
from tests.support import embeddings, virtual_time

RATE = 5.0
REPLICAS = 8


class Counted(MemoryLimiter):
    """Counts what it is asked."""

    def __init__(self, quota: Quota) -> None:
        super().__init__(quota)
        self.questions = 0

    async def acquire(self, tokens: int, asker: Asker = Asker.BULK) -> promise.Answer:
        self.questions += 1
        return await super().acquire(tokens, asker)


def test_a_pause_ends_without_a_herd() -> None:
    async def work() -> None:
        shared = Counted(Quota(RATE, 0.0, 300_000))
        replicas = [permits.Permits(shared) for _ in range(REPLICAS)]
        started: list[float] = []
        loop = asyncio.get_running_loop()

        async def slot(permit: permits.Permits) -> None:
            while True:
                await permit.take(lambda: 1)
                started.append(loop.time())

        tasks = [asyncio.create_task(each.run()) for each in replicas]
        tasks += [asyncio.create_task(slot(each)) for each in replicas for _ in range(8)]
        await asyncio.sleep(5)
        await shared.pause(20.0, tokens_exceeded=False)
        paused, before = loop.time(), shared.questions
        await asyncio.sleep(19.9)
        # Each replica has one question on its way; a long pause is looked at again now and then.
        assert shared.questions - before <= REPLICAS * (20 / permits.LONGEST_SLEEP_SECONDS + 1)
        assert not [at for at in started if at > paused]
        await asyncio.sleep(10)
        after = [at for at in started if at > paused]
        assert len(after) >= 10 * RATE * promise.RATE_DROP - 1
        assert all(
            later - earlier >= 1 / RATE - promise.LATE_CREDIT_SECONDS for earlier, later in itertools.pairwise(after)
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    virtual_time.run(work())


@pytest.mark.parametrize(("seconds", "questions"), [(0.1, 1), (60.0, 2)])
def test_a_grant_whose_taker_stood_still_is_asked_for_anew(seconds: float, questions: int) -> None:
    """By the time it went on others had started in its place; a moment is nothing, as it is of a late answer."""

    class Stopped(Counted):
        async def acquire(self, tokens: int, asker: Asker = Asker.BULK) -> promise.Answer:
            answer = await super().acquire(tokens, asker)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, virtual_time.Loop)
            if self.questions == 1:  # after the grant is there, and before its taker hears of it
                loop.call_soon(loop.stand_still, seconds)
            return answer

    async def work() -> None:
        shared = Stopped(Quota(0.0, 0.0, 300_000))
        permit = permits.Permits(shared)
        running = asyncio.create_task(permit.run())
        await permit.take(lambda: 1)
        assert shared.questions == questions
        assert not permit.search_seconds()
        running.cancel()

    virtual_time.run(work())


def test_permits_are_granted_in_the_order_in_which_they_were_asked_for() -> None:
    async def work() -> None:
        permit = permits.Permits(MemoryLimiter(Quota(RATE, 0.0, 300_000)))
        running = asyncio.create_task(permit.run())
        started: list[int] = []

        async def slot(number: int) -> None:
            await permit.take(lambda: 1)
            started.append(number)

        slots = [asyncio.create_task(slot(number)) for number in range(20)]
        await asyncio.gather(*slots)
        assert started == list(range(20))
        running.cancel()

    virtual_time.run(work())


def test_a_slot_that_waits_for_quota_holds_no_memory_that_grows() -> None:
    async def work() -> None:
        shared = MemoryLimiter(Quota(RATE, 0.0, 300_000))
        permit = permits.Permits(shared)
        source = embeddings.FakeEmbeddings()
        batcher = batching.Batcher(
            source, permit, shared, packing.RequestSize(), requests_in_flight=8, request_limited=True
        )
        loops = [asyncio.create_task(permit.run()), asyncio.create_task(batcher.run())]
        await shared.pause(promise.LONGEST_PAUSE_SECONDS, tokens_exceeded=False)
        loop = asyncio.get_running_loop()
        batches = [
            PendingBatch([f"{each} {row}" for row in range(1_000)], [1] * 1_000, lambda: None) for each in range(8)
        ]
        for batch in batches:
            batch.admit(loop.time())
            batcher.place(batch)

        async def wait(seconds: int) -> None:
            for _ in range(seconds):  # as workers keep their gates fresh
                await asyncio.sleep(1)
                for batch in batches:
                    batch.admit(loop.time())

        await wait(60)
        gc.collect()
        tracemalloc.start()
        await wait(30)
        gc.collect()
        early = tracemalloc.get_traced_memory()[0]
        await wait(200)
        gc.collect()
        late = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert not source.requests
        assert late - early < 50_000
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    virtual_time.run(work())


def test_a_permit_for_one_who_was_cancelled_is_lost_and_stalls_nobody() -> None:
    async def work() -> None:
        limiter = MemoryLimiter(Quota(1, 0, 1))
        subject = permits.Permits(limiter)
        running = asyncio.create_task(subject.run())
        first, second = (asyncio.create_task(subject.take(lambda: 1)) for _ in range(2))
        await asyncio.sleep(1)
        first.cancel()
        async with asyncio.timeout(3):
            await second
        running.cancel()

    virtual_time.run(work())


def test_a_cost_that_fails_ends_only_its_own_wait() -> None:
    async def work() -> None:
        subject = permits.Permits(MemoryLimiter(Quota(0, 0, 1)))
        running = asyncio.create_task(subject.run())

        def cost() -> int:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await subject.take(cost)
        await subject.take(lambda: 1)
        running.cancel()

    virtual_time.run(work())
