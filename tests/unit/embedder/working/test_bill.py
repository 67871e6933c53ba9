"""Whatever becomes of a chunk, what was paid for it is told: with its settlement, or for itself. Once."""

import asyncio

import pytest

from services.billing import spend
from services.chunks import consumer
from services.embedder import indexer_client
from services.embedder.working import unsettled
from tests.support import buying, embeddings, virtual_time
from tests.support.working import TEXTS, Embedder, running

AWAY = indexer_client.IndexerUnavailable("away")
PAID = spend.Spend(tokens=3, texts_bought=3)


def test_a_settlement_carries_what_was_paid_and_what_was_saved() -> None:
    async def work() -> None:
        async with running() as embedder:
            task_id = await embedder.publish([*TEXTS, "one", "one"], rejects=1)
            await embedder.empty()
            assert embedder.indexer.settled[task_id, 0].spent == PAID + spend.Spend(texts_reused=2)
            await asyncio.sleep(5)
            assert not embedder.indexer.unsettled

    virtual_time.run(work())


def test_equal_texts_of_several_chunks_are_bought_once_and_said_to_be() -> None:
    async def work() -> None:
        async with running() as embedder:
            task_id = await embedder.publish(count=6)
            await embedder.empty()
            assert embedder.source.bought == TEXTS
            spent = [embedder.indexer.settled[task_id, chunk].spent for chunk in range(6)]
            assert sum(spent, spend.NOTHING) == PAID + spend.Spend(texts_reused=15)
            for chunk in range(6):
                assert len(embedder.indexer.settled[task_id, chunk].vectors) == 3

    virtual_time.run(work())


def test_vectors_that_are_sent_again_are_paid_once() -> None:
    async def work() -> None:
        async with running() as embedder:
            embedder.indexer.breaks_in_settle = [AWAY, AWAY]
            task_id = await embedder.publish()
            await embedder.empty()
            call = embedder.indexer.settled[task_id, 0]
            assert call.spent == PAID
            assert call.header is not None
            assert call.header.again  # the calls that broke may have written all of it

    virtual_time.run(work())


@pytest.mark.parametrize(
    "end",
    [indexer_client.ChunkRefused("its task was cancelled meanwhile"), indexer_client.Impossible("NOT_FOUND: no task")],
)
def test_what_was_paid_for_a_chunk_that_is_given_up_is_told_for_itself(end: Exception) -> None:
    async def work() -> None:
        async with running() as embedder:
            embedder.indexer.breaks_in_settle = [end]
            task_id = await embedder.publish()
            await embedder.until(lambda: embedder.unsettled._untold)
            await embedder.unsettled.flush()
            # The call that broke had said it, and may have settled the chunk.
            assert embedder.indexer.unsettled == {task_id: PAID.doubtful()}

    virtual_time.run(work())


def test_a_flush_that_is_cancelled_loses_nothing() -> None:
    class Hanging:
        async def record_spend(self, *_: object) -> None:
            await asyncio.Event().wait()

    async def work() -> None:
        told = unsettled.Unsettled(Hanging())
        for task_id in ("one", "two"):
            told.add(task_id, PAID)
        flush = asyncio.create_task(told.flush())
        await asyncio.sleep(0)
        flush.cancel()
        await asyncio.gather(flush, return_exceptions=True)
        assert told._untold == {"two": PAID, "one": PAID.doubtful()}

    virtual_time.run(work())


def test_what_was_paid_before_anything_was_told_is_sure() -> None:
    async def work() -> None:
        async with running() as embedder:
            embedder.indexer.breaks_in_vectors = [indexer_client.ChunkRefused("its task was cancelled meanwhile")]
            task_id = await embedder.publish()
            await embedder.until(lambda: embedder.unsettled._untold)
            await embedder.unsettled.flush()
            assert embedder.indexer.unsettled == {task_id: PAID}

    virtual_time.run(work())


def test_an_answer_that_comes_after_the_chunk_was_given_up_is_paid_as_well() -> None:
    async def work() -> None:
        async with running(embeddings.FakeEmbeddings(seconds=30.0)) as embedder:
            task_id = await embedder.publish()
            await embedder.until(lambda: embedder.source.under_way)
            embedder.indexer.gate = indexer_client.Gate.CANCELLED
            await embedder.empty()
            await embedder.until(lambda: not embedder.source.under_way)
            await embedder.unsettled.flush()
            assert not embedder.indexer.settled
            assert embedder.indexer.unsettled == {task_id: PAID}

    virtual_time.run(work())


def test_what_somebody_before_may_have_bought_is_in_doubt() -> None:
    async def work() -> None:
        async with buying.opened() as shared:
            embedder = Embedder(shared, slots=4, timeout=1_800)
            task_id = await embedder.publish()
            await consumer.Consumer(embedder.queue, slots=1).take(1)  # and dies: it renews no lease
            await embedder.consuming.start()
            await embedder.until(lambda: embedder.indexer.settled)
            await embedder.consuming.close()
            call = embedder.indexer.settled[task_id, 0]
            assert call.spent.tokens == 3
            assert call.spent.tokens_doubtful == sum(len(text) for text in TEXTS)  # as they are bounded
            assert call.header is not None
            assert call.header.again

    virtual_time.run(work())


async def test_what_could_not_be_told_is_told_again_as_doubtful() -> None:
    """The indexer may have it already: twice for sure would be wrong, and so would be never."""
    told: list[tuple[str, spend.Spend]] = []

    class Indexer:
        away = True

        async def record_spend(self, task_id: str, spent: spend.Spend) -> None:
            if self.away:
                raise AWAY
            told.append((task_id, spent))

    indexer = Indexer()
    kept = unsettled.Unsettled(indexer)
    kept.add("a", PAID)
    kept.add("a", PAID)
    await kept.flush()
    indexer.away = False
    await kept.flush()
    await kept.flush()
    assert told == [("a", spend.Spend(tokens_doubtful=6))]
