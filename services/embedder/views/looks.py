"""One look a second at queue and limiter for all who ask: what callers cause must not grow with their number.

Health is public, and each look walks the byte book in Valkey, over the connections that heartbeats need.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from services.chunks import views
from services.embedder.limiter import promise

FRESH_SECONDS = 1.0

T = TypeVar("T")


class Look(Generic[T]):
    """Something that is looked at once for all who ask within a second, whatever comes of it."""

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        self._look = look
        self._task: asyncio.Task[T] | None = None
        self._stale_at = 0.0

    async def __call__(self) -> T:
        """What was seen: at most a second ago, or by the look that is under way. Raises what the look raised."""
        now = asyncio.get_running_loop().time()
        if self._task is None or (self._task.done() and now >= self._stale_at):
            self._task = asyncio.create_task(self._take())
            self._task.add_done_callback(self._seen)
        return await asyncio.shield(self._task)

    async def _take(self) -> T:
        return await self._look()

    def _seen(self, task: asyncio.Task[T]) -> None:
        self._stale_at = asyncio.get_running_loop().time() + FRESH_SECONDS
        if not task.cancelled():
            task.exception()  # whoever waited for it may be gone


class Looks:
    """The queue and the limiter, as all views see them."""

    def __init__(self, queue: views.Views, limiter: promise.Limiter) -> None:
        self.overview: Look[views.Overview] = Look(queue.overview)
        self.limiter: Look[promise.State] = Look(limiter.look)
