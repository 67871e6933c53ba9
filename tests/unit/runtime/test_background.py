"""Loops of a process, and work that a cancel is not to end."""

import asyncio

import pytest

from services.runtime import background


async def test_uncut_work_goes_on_when_who_waits_is_cancelled() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    waiting = asyncio.create_task(background.uncut(work()))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    async with asyncio.timeout(5):
        await done.wait()


async def test_what_fails_in_uncut_work_is_heard_of() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await background.uncut(work())
