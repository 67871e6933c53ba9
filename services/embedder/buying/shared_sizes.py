"""Learned sizes of requests, from embedder to embedder: read once at the start, told when they are learned."""

import asyncio
from collections.abc import Awaitable, Callable

from services.embedder.buying import sizes
from services.embedder.limiter import promise, request_sizes

RETRY_SECONDS = 5.0


class SharedSizes:
    """Keeps a process's sizes and those that all know together.

    Args:
        own: This process's.
        shared: What all know.
    """

    def __init__(self, own: sizes.Sizes, shared: request_sizes.RequestSizes) -> None:
        self._own = own
        self._shared = shared
        # Not told yet.
        self._learned: dict[request_sizes.Kind, int] = {}
        self._news = asyncio.Event()
        own.on_learned = self._hear

    def _hear(self, kind: request_sizes.Kind, limit: int) -> None:
        self._learned[kind] = limit
        self._news.set()

    async def run(self) -> None:
        """Read, then tell for ever."""
        await self._until_done(self._read)
        while True:
            await self._news.wait()
            self._news.clear()
            await self._until_done(self._tell)

    async def _read(self) -> None:
        for kind, limit in (await self._shared.known()).items():
            self._own.recall(kind, limit)

    async def _tell(self) -> None:
        for kind, limit in list(self._learned.items()):
            await self._shared.learn(kind, limit)
            if self._learned.get(kind) == limit:
                del self._learned[kind]

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await work()
            except promise.LimiterUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
