"""The quota is met whatever a task's chunk_size is: what embedders have in hand is counted in rows and bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.chunks import consumer, entry, memory_store, publisher, settings, splitting
from services.embedder.buying import batching, packing, tokens
from services.embedder.limiter import permits
from services.embedder.limiter.memory import MemoryLimiter
from services.embedder.limiter.promise import Quota
from services.embedder.working import concurrency, consuming, unsettled, worker
from tests.support import embeddings, virtual_time

RATE = 5.0
EMBEDDERS = 2
SLOTS = 8
REQUESTS = 50
ROWS = REQUESTS * packing.REQUEST_INPUTS
LATENCY_SECONDS = 0.12
# A slot is a thousand rows, and the last chunk taken may fill more than was left of one.
MOST_ROWS_IN_HAND = SLOTS * 1_000 + 1_000


class Line:
    """Embedders at work on one queue, under one limiter."""

    def __init__(self) -> None:
        self.queue = memory_store.MemoryStore()
        self.limiter = MemoryLimiter(Quota(RATE, 0, 300_000))
        self.source = embeddings.FakeEmbeddings(LATENCY_SECONDS)
        self.indexer = embeddings.FakeIndexer()
        self.indexer.settle_seconds = LATENCY_SECONDS
        self.consumers: list[consumer.Consumer] = []

    @contextlib.asynccontextmanager
    async def embedder(self) -> AsyncIterator[None]:
        permit = permits.Permits(self.limiter)
        batcher = batching.Batcher(
            self.source,
            permit,
            self.limiter,
            packing.RequestSize(),
            requests_in_flight=SLOTS,
            request_limited=True,
        )
        taking = consumer.Consumer(self.queue, slots=SLOTS)
        self.consumers.append(taking)
        wanted = concurrency.Concurrency(SLOTS, lambda: 0.0)
        work = worker.Worker(
            taking,
            self.indexer,  # type: ignore[arg-type]
            batcher,
            wanted,
            unsettled=unsettled.Unsettled(self.indexer),
            model="m",
            dimension=embeddings.DIMENSION,
            count=tokens.bound,
        )
        taken = consuming.Consuming(taking, work, batcher, wanted)
        loops = [asyncio.create_task(each()) for each in (permit.run, batcher.run)]
        await taken.start()
        try:
            yield
        finally:
            await taken.close()
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def publish(self, chunk_size: int) -> None:
        lease = await splitting.Splitting(self.queue).acquire("t")
        assert lease is not None
        publishing = publisher.Publisher(self.queue)
        for chunk, first in enumerate(range(0, ROWS, chunk_size)):
            texts = [str(number) for number in range(first, min(first + chunk_size, ROWS))]
            header = entry.Header("t", chunk, 1 + first, len(texts))
            await publishing.publish_waiting(header, embeddings.rows(texts), lease.token)


@pytest.mark.parametrize("chunk_size", [100, 250, 1_000, 10_000])
def test_the_quota_is_met_with_chunks_of_any_size(chunk_size: int) -> None:
    """With eight chunks of 100 in hand no request was full and no second one ever ready: 1.6 times the ideal."""

    async def work() -> tuple[float, int]:
        line = Line()
        held = 0
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(EMBEDDERS):
                await stack.enter_async_context(line.embedder())
            await asyncio.sleep(3)  # they have said how many slots there are, and the starting debt is repaid
            publishing = asyncio.create_task(line.publish(chunk_size))
            while len(line.source.bought) < ROWS:
                rows = [sum(each.header.rows for each in taking.held) for taking in line.consumers]
                held = max(held, *rows)
                await asyncio.sleep(0.05)
            await publishing
        starts = [at for at, _ in line.source.requests]
        return starts[-1] - starts[0], held

    seconds, held = virtual_time.run(work())

    assert seconds <= 1.05 * (REQUESTS - 1) / RATE
    if chunk_size <= 1_000:
        assert held <= MOST_ROWS_IN_HAND


@pytest.mark.parametrize(
    ("rows", "payload_bytes", "share"),
    [
        (1_000, 300_000, 1_000),
        (10_000, 3_000_000, 1_000),
        (100, 30_000, 100),
        (101, 0, 101),
        (100, 4 * settings.MIB, 1_000),
        (100, settings.MIB, 250),
        (1, 200, 50),
        (0, 0, 50),
    ],
)
def test_what_a_chunk_fills_of_a_slot(rows: int, payload_bytes: int, share: int) -> None:
    assert settings.QueueLimits().share(rows, payload_bytes) == share


def test_a_window_holds_as_many_rows_whatever_the_chunks() -> None:
    limits = settings.QueueLimits()
    assert limits.window(16, 1_000) == 32
    assert limits.window(16, 100) == 320
    assert limits.window(0, 100) == limits.window_floor
