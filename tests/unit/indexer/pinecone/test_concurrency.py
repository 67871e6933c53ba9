"""How many upserts run at once follows what the index bears."""

import asyncio
import contextlib

from services.indexer.pinecone import concurrency


async def places(limiter: concurrency.AdaptiveLimiter) -> int:
    """How many slots there are."""
    async with contextlib.AsyncExitStack() as stack:
        for count in range(100):
            try:
                async with asyncio.timeout(0.01):
                    await stack.enter_async_context(limiter.slot())
            except TimeoutError:
                return count
    return 100


async def test_upserts_pushed_back_together_are_one_sign() -> None:
    limiter = concurrency.AdaptiveLimiter()
    async with contextlib.AsyncExitStack() as stack:
        slots = [await stack.enter_async_context(limiter.slot()) for _ in range(8)]
        for slot in slots:
            slot.push_back()
    assert await places(limiter) == 4
    async with limiter.slot() as slot:
        slot.push_back()  # of the next round: another sign
    assert await places(limiter) == 2


async def test_the_limit_grows_by_one_a_round_and_ends_at_the_most() -> None:
    limiter = concurrency.AdaptiveLimiter()
    for _ in range(9):
        async with limiter.slot() as slot:
            slot.succeed()
    assert await places(limiter) == 9
    for _ in range(1_000):
        async with limiter.slot() as slot:
            slot.succeed()
    assert await places(limiter) == concurrency.MOST


async def test_one_always_runs() -> None:
    limiter = concurrency.AdaptiveLimiter()
    for _ in range(20):
        async with limiter.slot() as slot:
            slot.push_back()
    assert await places(limiter) == 1


async def test_a_place_comes_back_however_often_its_holder_is_cancelled() -> None:
    limiter = concurrency.AdaptiveLimiter()

    async def hold() -> None:
        async with limiter.slot():
            await asyncio.sleep(3600)

    for _ in range(3):
        working = [asyncio.create_task(hold()) for _ in range(24)]  # three times as many as there are places
        await asyncio.sleep(0)
        for _ in range(3):
            for task in working:
                task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*working, return_exceptions=True)
    assert await places(limiter) == concurrency.FIRST


async def test_a_place_that_was_handed_to_someone_just_cancelled_goes_to_the_next() -> None:
    limiter = concurrency.AdaptiveLimiter()
    entered: list[int] = []

    async def enter(number: int) -> None:
        async with limiter.slot():
            entered.append(number)

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(int(concurrency.FIRST)):
            await stack.enter_async_context(limiter.slot())
        first, second = [asyncio.create_task(enter(number)) for number in (1, 2)]
        await asyncio.sleep(0)
    first.cancel()  # the place is its already
    await asyncio.gather(first, second, return_exceptions=True)
    assert entered == [2]
    assert await places(limiter) == concurrency.FIRST
