"""An adaptive limit: how many upserts run at once follows what the index bears (AIMD)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

FIRST = 8.0
MOST = 32.0
LEAST = 1.0
BACKOFF = 0.5


class AdaptiveLimit:
    """Grows by one a round of successes, halves when the index pushes back (429, timeouts)."""

    def __init__(self) -> None:
        self._limit = FIRST
        self._running = 0
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of the places; waits for one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._running < int(self._limit))
            self._running += 1
        try:
            yield
        finally:
            async with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def succeed(self) -> None:
        """An upsert went through."""
        self._limit = min(MOST, self._limit + 1 / self._limit)

    def push_back(self) -> None:
        """The index asked for less."""
        self._limit = max(LEAST, self._limit * BACKOFF)
