"""Loops that run for as long as the process: none of them may end silently, or the process would live on as a shell."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn

import structlog

log = structlog.get_logger()

RESTART_SECONDS = 1.0


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


class Flushing:
    """Flushes now and then, and once more at the end: never two at a time, and none is cut where the loop ends.

    Args:
        flush: Tells what was gathered.
        seconds: Between two of them.
    """

    def __init__(self, flush: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._flush = flush
        self._seconds = seconds
        self._one = asyncio.Lock()
        # Or nobody would hold it, and it might be collected in mid work.
        self._under_way: asyncio.Task[None] | None = None

    async def run(self) -> NoReturn:
        """Flush for ever; what is under way when this is cancelled goes on to its end."""
        while True:
            await asyncio.sleep(self._seconds)
            self._under_way = asyncio.create_task(self.once())
            await asyncio.shield(self._under_way)

    async def once(self) -> None:
        """Flush, behind one that is under way."""
        async with self._one:
            await self._flush()
