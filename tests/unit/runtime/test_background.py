"""Loops of a process, and flushes that a cancel is not to cut."""

import asyncio

import pytest

from services.runtime import background


async def test_a_flush_goes_on_when_the_loop_is_cancelled_and_the_last_one_follows_it() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), list[str]()

    async def flush() -> None:
        begun.set()
        await go_on.wait()
        done.append("flushed")

    flushing = background.Flushing(flush, 0.0)
    loop = asyncio.create_task(flushing.run())
    await begun.wait()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    last = asyncio.create_task(flushing.once())
    await asyncio.sleep(0)
    assert done == []
    go_on.set()
    async with asyncio.timeout(5):
        await last
    assert done == ["flushed", "flushed"]


async def test_what_fails_in_a_flush_is_heard_of() -> None:
    async def flush() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await background.Flushing(flush, 0.0).run()
