"""An embedder over fakes: everything but the network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from services.chunks import consumer, memory_store, settings
from services.embedder.buying import packing, tokens
from services.embedder.working import concurrency, consuming, unsettled, worker
from tests.support import buying, chunks, embeddings
from tests.support.key_tokens import LocalTokens

TEXTS = ["one", "two", "three"]


class Embedder:
    """An embedder over fakes: everything but the network."""

    def __init__(self, shared: buying.Buying, *, slots: int, timeout: float, slot_rows: int = 1) -> None:
        self.source, self.limiter = shared.source, shared.limiter
        self.indexer = embeddings.FakeIndexer()
        limits = settings.QueueLimits(slot_rows=slot_rows)
        self.queue = memory_store.MemoryStore(settings.Timing(task_timeout_seconds=timeout), limits)
        self.consumer = consumer.Consumer(self.queue, slots=slots)
        self.late_seconds = 0.0
        self.spent = LocalTokens()
        self.unsettled = unsettled.Unsettled(self.indexer)
        self.concurrency = concurrency.Concurrency(slots, lambda: self.late_seconds)
        self.worker = worker.Worker(
            self.consumer,
            self.indexer,  # type: ignore[arg-type]
            shared.batcher,
            self.concurrency,
            unsettled=self.unsettled,
            model="m",
            dimension=embeddings.DIMENSION,
            count=tokens.bound,
            spent=self.spent.spent,
        )
        self.consuming = consuming.Consuming(self.consumer, self.worker, shared.batcher, self.concurrency)

    async def publish(self, texts: Sequence[str] = TEXTS, rejects: int = 0, count: int = 1, *, client: str = "") -> str:
        header = chunks.header

        def sized(task_id: str, chunk: int, *rest: Any) -> Any:
            found = header(task_id, chunk, *rest)
            return type(found)(**{**vars(found), "rows": len(texts) + rejects, "rejected": rejects, "client": client})

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunks, "header", sized)
            return await chunks.publish(self.queue, count, payload=embeddings.rows(texts, rejects))

    async def empty(self, seconds: float = 600) -> None:
        """Wait until nothing is in the queue any more."""
        async with asyncio.timeout(seconds):
            while any(lane.entries for lane in self.queue.lanes.values()):
                await asyncio.sleep(0.05)

    async def until(self, condition: Any, seconds: float = 600) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(
    source: embeddings.FakeEmbeddings | None = None,
    *,
    slots: int = 4,
    inputs: int = 2_048,
    timeout: float = 1_800,
    rate: float = 0.0,
    slot_rows: int = 1,
) -> AsyncIterator[Embedder]:
    """An embedder at work; `rate` requests a second, 0: no limit. By default any chunk fills a slot."""
    pack = packing.RequestSize(inputs, 300_000)
    async with buying.opened(source, rate=rate, pack=pack, in_flight=slots) as shared:
        embedder = Embedder(shared, slots=slots, timeout=timeout, slot_rows=slot_rows)
        await embedder.consuming.start()
        try:
            yield embedder
        finally:
            await embedder.consuming.close()


def assert_complete(embedder: Embedder, task_id: str, texts: Sequence[str] = TEXTS) -> None:
    """Each text of the chunk was settled with its own vector."""
    vectors = embedder.indexer.settled[task_id, 0].vectors
    assert vectors == {f"7.{number}": embeddings.vector(text) for number, text in enumerate(texts, start=1)}
