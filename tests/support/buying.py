"""Buying over fakes: a provider and a limiter in memory, batches with gates that are kept fresh."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from services.embedder.buying import batching, packing
from services.embedder.buying.pending_batch import PendingBatch
from services.embedder.limiter import permits
from services.embedder.limiter.memory import MemoryLimiter
from services.embedder.limiter.promise import Quota
from tests.support import embeddings


class Buying:
    """Buying over fakes."""

    def __init__(
        self,
        source: embeddings.FakeEmbeddings,
        *,
        rate: float = 0.0,
        pack: packing.RequestSize | None = None,
        in_flight: int = 8,
    ) -> None:
        self.source = source
        self.limiter = MemoryLimiter(Quota(rate, 0, 300_000))
        self.permits = permits.Permits(self.limiter)
        self.batcher = batching.Batcher(
            source,
            self.permits,
            self.limiter,
            pack or packing.RequestSize(),
            requests_in_flight=in_flight,
            request_limited=rate > 0,
        )
        self.guards: dict[PendingBatch, asyncio.Task[None]] = {}

    def batch(self, texts: list[str], *, gate: bool = True, first: bool = False) -> PendingBatch:
        """A batch in the queue, its gate kept fresh as a worker does."""
        batch = PendingBatch(texts, [1] * len(texts), lambda: None, first=first)
        if gate:
            self.open(batch)
        self.batcher.place(batch)
        return batch

    def open(self, batch: PendingBatch) -> None:
        async def keep() -> None:
            while True:
                batch.admit(asyncio.get_running_loop().time())
                await asyncio.sleep(1.0)

        batch.admit(asyncio.get_running_loop().time())
        self.guards[batch] = asyncio.create_task(keep())

    def close(self, batch: PendingBatch) -> None:
        self.guards.pop(batch).cancel()


@contextlib.asynccontextmanager
async def opened(source: embeddings.FakeEmbeddings | None = None, **options: Any) -> AsyncIterator[Buying]:
    buying = Buying(source or embeddings.FakeEmbeddings(), **options)
    loops = [asyncio.create_task(buying.permits.run()), asyncio.create_task(buying.batcher.run())]
    try:
        yield buying
    finally:
        tasks = [*loops, *buying.guards.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def complete(*batches: PendingBatch, seconds: float = 600) -> None:
    async with asyncio.timeout(seconds):
        for batch in batches:
            while not batch.finished and batch.dropped is None:
                await batch.change()


def assert_delivered(batch: PendingBatch) -> None:
    for index, text in enumerate(batch.texts):
        if index not in batch.refusals:
            assert batch.vectors[index] == embeddings.vector(text)
