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
