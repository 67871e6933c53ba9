"""Loops that run for as long as the process: none of them may end silently, or the process would live on as a shell."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

import structlog

log = structlog.get_logger()

RESTART_SECONDS = 1.0
# Or nobody would hold them, and they might be collected in mid work.
_UNCUT: set[asyncio.Task[None]] = set()


@contextlib.asynccontextmanager
async def running(name: str, loop: Callable[[], Awaitable[object]]) -> AsyncIterator[asyncio.Task[None]]:
    """Run `loop()` until the block ends; should it fail by a defect, say so and begin it again."""
    task = asyncio.create_task(forever(name, loop), name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def forever(name: str, loop: Callable[[], Awaitable[object]]) -> None:
    """Run `loop()` to its end, over again for as long as it fails."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("A loop failed inside; it begins again.", action="loop_failed", loop=name)
            await asyncio.sleep(RESTART_SECONDS)
        else:
            return


async def uncut(work: Coroutine[object, object, None]) -> None:
    """Await work that a cancel is not to end: it goes on in a task of its own, to its end."""
    task = asyncio.create_task(work)
    _UNCUT.add(task)
    task.add_done_callback(_UNCUT.discard)
    await asyncio.shield(task)
