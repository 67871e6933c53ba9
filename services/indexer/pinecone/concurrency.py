"""An adaptive limiter: how many upserts run at once follows what the index bears (AIMD)."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator

FIRST = 8.0
# Each holds its 2 MB twice on its way out. Pinecone takes 100 upserts or 50 MB a second of a namespace: so many keep it
# busy up to 0.16 s an upsert, and at full size up to 0.6 s.
MOST = 16.0
LEAST = 1.0
BACKOFF = 0.5


class AdaptiveLimiter:
    """Grows by one a round of successes, halves when the index pushes back (429, timeouts).

    Upserts that are under way together are pushed back together: that is one sign, not many.
    """

    def __init__(self) -> None:
        self._limit = FIRST
        self._running = 0
        self._halvings = 0
        # Those that wait, the longest first; one whose future is done has its place, or does not want it any more.
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator["Slot"]:
        """One of the places; waits for one."""
        await self._enter()
        try:
            yield Slot(self, self._halvings)
        finally:
            self._leave()

    async def _enter(self) -> None:
        if not self._waiting and self._running < int(self._limit):
            self._running += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # it was handed out a moment before
                self._leave()
            raise

    def _leave(self) -> None:
        """Give a place back. Nothing is awaited here: a second cancel would lose the place for good."""
        self._running -= 1
        while self._waiting and self._running < int(self._limit):
            place = self._waiting.popleft()
            if not place.done():
                self._running += 1
                place.set_result(None)

    def grow(self) -> None:
        """The index bore an upsert."""
        self._limit = min(MOST, self._limit + 1 / self._limit)

    def halve(self, seen: int) -> None:
        """The index pushed back on an upsert that began after so many halvings."""
        if seen == self._halvings:
            self._halvings += 1
            self._limit = max(LEAST, self._limit * BACKOFF)


class Slot:
    """A place that one upsert holds; it tells how that went."""

    def __init__(self, limiter: AdaptiveLimiter, halvings: int) -> None:
        self._limiter = limiter
        self._halvings = halvings

    def succeed(self) -> None:
        """The upsert went through."""
        self._limiter.grow()

    def push_back(self) -> None:
        """The index asked for less."""
        self._limiter.halve(self._halvings)
