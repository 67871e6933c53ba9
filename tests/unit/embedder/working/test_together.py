"""Small chunks that are bought together go to the indexer with one call; each has an end of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from vectorline.v1 import indexer_pb2

from services.chunks import entry
from services.embedder import indexer_client
from services.embedder.working import together
from tests.support import embeddings, virtual_time
from tests.support.working import TEXTS, Embedder, running

SLOT_ROWS = 1_000


@contextlib.asynccontextmanager
async def small(**more: Any) -> AsyncIterator[Embedder]:
    """An embedder for whom chunks of a few rows are small."""
    async with running(slot_rows=SLOT_ROWS, **more) as embedder:
        yield embedder


def settled(embedder: Embedder, task_id: str) -> list[int]:
    return sorted(chunk for task, chunk in embedder.indexer.settled if task == task_id)


def calls(embedder: Embedder, name: str) -> int:
    """How often a part of that name was sent."""
    return embedder.indexer.sent.count(name)


def test_chunks_that_are_bought_together_go_together_and_each_is_settled() -> None:
    async def work() -> None:
        async with small() as embedder:
            task_id = await embedder.publish(rejects=1, count=5)
            await embedder.empty()
            assert embedder.indexer.together == [[0, 1, 2, 3, 4]]
            assert calls(embedder, "header") == 0
            for chunk in range(5):
                call = embedder.indexer.settled[task_id, chunk]
                assert call.vectors == {f"7.{row}": embeddings.vector(text) for row, text in enumerate(TEXTS, start=1)}
                assert call.rejects == {4: "empty_text"}
            spent = [embedder.indexer.settled[task_id, chunk].spent for chunk in range(5)]
            assert sum(each.texts_bought for each in spent) == len(TEXTS)
            assert sum(each.texts_reused for each in spent) == 4 * len(TEXTS)
            assert not embedder.indexer.unsettled

    virtual_time.run(work())


def test_a_call_that_breaks_is_repeated_for_each_of_its_chunks_and_nothing_is_bought_twice() -> None:
    async def work(where: str) -> None:
        async with small() as embedder:
            getattr(embedder.indexer, where).append(indexer_client.IndexerUnavailable("reset"))
            task_id = await embedder.publish(count=3)
            await embedder.empty()
            assert embedder.indexer.together == [[0, 1, 2]]
            assert settled(embedder, task_id) == [0, 1, 2]
            assert calls(embedder, "header") == 3
            assert embedder.source.bought == TEXTS
            heads = [embedder.indexer.settled[task_id, chunk].header for chunk in range(3)]
            assert all(head is not None and head.again for head in heads), "the broken call may have written"

    for where in ("breaks_in_vectors", "breaks_in_settle"):
        virtual_time.run(work(where))


def test_a_chunk_that_cannot_be_settled_with_the_others_is_sent_by_itself() -> None:
    async def work() -> None:
        async with small() as embedder:
            embedder.indexer.unsettled_together = {1}
            task_id = await embedder.publish(count=3)
            await embedder.empty()
            assert settled(embedder, task_id) == [0, 1, 2]
            assert calls(embedder, "header") == 1

    virtual_time.run(work())


def test_an_answer_that_does_not_tell_every_end_settles_nobody() -> None:
    async def work() -> None:
        async with small() as embedder:
            outcomes = embeddings.FakeChunksCall.settle

            async def one_is_missing(call: embeddings.FakeChunksCall) -> indexer_pb2.ChunkOutcomes:
                answer = await outcomes(call)
                del answer.outcomes[-1]
                return answer

            embeddings.FakeChunksCall.settle = one_is_missing  # type: ignore[method-assign]
            try:
                await embedder.publish(count=3)
                await embedder.empty()
            finally:
                embeddings.FakeChunksCall.settle = outcomes  # type: ignore[method-assign]
            assert calls(embedder, "header") == 3

    virtual_time.run(work())


def test_a_task_that_may_not_write_any_more_has_all_of_its_chunks_void() -> None:
    async def work() -> None:
        async with small() as embedder:
            embedder.indexer.breaks_in_settle.append(indexer_client.ChunkRefused("The turn passed on."))
            task_id = await embedder.publish(count=3)
            await embedder.empty()
            assert settled(embedder, task_id) == []
            assert calls(embedder, "header") == 0
            await embedder.unsettled.flush()
            assert embedder.indexer.unsettled[task_id].texts_bought == 0, "what was told may have been heard"
            assert embedder.indexer.unsettled[task_id].tokens_doubtful > 0

    virtual_time.run(work())


def test_an_indexer_of_the_release_before_is_asked_for_each_chunk_and_not_again_for_a_minute() -> None:
    async def work() -> None:
        async with small() as embedder:
            embedder.indexer.unserved = True
            first = await embedder.publish(count=3)
            await embedder.empty()
            second = await embedder.publish(count=2)
            await embedder.empty()
            assert len(embedder.indexer.together) == 1
            assert (settled(embedder, first), settled(embedder, second)) == ([0, 1, 2], [0, 1])
            head = embedder.indexer.settled[first, 0].header
            assert head is not None
            assert not head.again, "it wrote nothing"
            embedder.indexer.unserved = False
            await asyncio.sleep(together.UNSERVED_SECONDS)
            await embedder.publish(count=2)
            await embedder.empty()
            assert len(embedder.indexer.together) == 2

    virtual_time.run(work())


def test_chunks_of_two_tasks_go_with_two_calls() -> None:
    async def work() -> None:
        async with small() as embedder:
            embedder.source.seconds = 0.5
            await embedder.publish(["a"], count=2)
            await embedder.publish(["b"], count=2)
            await embedder.empty()
            assert embedder.indexer.together == [[0, 1], [0, 1]]

    virtual_time.run(work())


def test_a_call_has_so_many_chunks_and_so_many_slots_at_most() -> None:
    async def work(rows: int, most: int) -> None:
        async with small() as embedder:
            texts = [str(number) for number in range(rows)]
            task_id = await embedder.publish(texts, count=30)
            await embedder.empty()
            assert max(len(each) for each in embedder.indexer.together) == most
            assert settled(embedder, task_id) == list(range(30))

    virtual_time.run(work(3, together.MOST))
    virtual_time.run(work(200, int(together.SLOTS * SLOT_ROWS / 200)))


def test_a_large_chunk_and_one_of_many_refusals_go_by_themselves() -> None:
    async def work() -> None:
        async with small() as embedder:
            await embedder.publish([str(number) for number in range(500)])
            await embedder.empty()
            embedder.source.bad_texts = {str(number) for number in range(together.REFUSALS + 1)}
            task_id = await embedder.publish(sorted(embedder.source.bad_texts))
            await embedder.empty()
            assert len(embedder.indexer.settled[task_id, 0].rejects) == together.REFUSALS + 1
            assert not embedder.indexer.together
            assert calls(embedder, "header") == 2

    virtual_time.run(work())


def test_a_chunk_with_a_strike_goes_by_itself() -> None:
    """So that no neighbour's crash gives it a second one, and none of its own gives its neighbours any."""

    async def work() -> None:
        async with small() as embedder:
            count = embedder.consumer.share

            def share(header: entry.Header) -> float:
                for each in embedder.consumer.held:  # it was struck before it was taken
                    if each.header.chunk == 1:
                        each.strikes = 1
                return count(header)

            embedder.consumer.share = share  # type: ignore[method-assign]
            task_id = await embedder.publish(count=3)
            await embedder.empty()
            assert settled(embedder, task_id) == [0, 1, 2]
            assert embedder.indexer.together == [[0, 2]]
            assert calls(embedder, "header") == 1

    virtual_time.run(work())


def test_a_chunk_whose_lease_is_lost_before_they_go_stays_behind() -> None:
    async def work() -> None:
        async with small(inputs=1, slots=1) as embedder:
            embedder.indexer.settle_seconds = 0.5
            task_id = await embedder.publish(count=3)
            await embedder.until(lambda: len(embedder.consumer.held) == 3)
            (lost,) = [each for each in embedder.consumer.held if each.header.chunk == 1]
            lost.lose("not_owner")
            await embedder.until(lambda: settled(embedder, task_id) == [0, 2])
            assert all(1 not in each for each in embedder.indexer.together)
            await embedder.until(lambda: not embedder.consumer.held)
            assert 1 in await embedder.queue.in_flight(task_id), "its lease runs out, and another try follows"

    virtual_time.run(work())


def test_who_is_cancelled_leaves_the_others_their_call_and_the_last_one_ends_it() -> None:
    async def work() -> None:
        async with small() as embedder:
            embedder.indexer.settle_seconds = 5.0
            task_id = await embedder.publish(count=3)
            await embedder.until(lambda: calls(embedder, "spends"))
            working = list(embedder.consuming._tasks)
            working[0].cancel()
            await embedder.until(lambda: len(settled(embedder, task_id)) == 3)
            await embedder.until(lambda: not embedder.consuming._tasks)
            assert calls(embedder, "header") == 0

            other = await embedder.publish(count=3)
            await embedder.until(lambda: calls(embedder, "spends") == 2)
            for each in list(embedder.consuming._tasks):
                each.cancel()
            await embedder.until(lambda: not embedder.consuming._tasks)
            await asyncio.sleep(10)
            assert settled(embedder, other) == [], "nobody waits for it any more"

    virtual_time.run(work())
