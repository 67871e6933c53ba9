"""The ends of a delivery: settled, void, handed back, lost, poison; and what is kept when something breaks."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from services.chunks import consumer
from services.embedder import indexer_client
from services.embedder.buying import pending_batch, tokens
from services.embedder.openai import errors as openai_errors
from tests.support import chunks, embeddings, virtual_time
from tests.support.working import TEXTS, Embedder, assert_complete, running


def test_a_chunk_is_bought_sent_settled_and_acknowledged() -> None:
    async def work() -> None:
        async with running() as embedder:
            task_id = await embedder.publish(rejects=2)
            await embedder.empty()
            assert_complete(embedder, task_id)
            assert embedder.indexer.settled[task_id, 0].rejects == {4: "empty_text", 5: "empty_text"}
            assert embedder.source.bought == TEXTS
            assert not await embedder.queue.in_flight(task_id)

    virtual_time.run(work())


def test_identical_texts_of_a_chunk_are_bought_once() -> None:
    async def work() -> None:
        async with running() as embedder:
            texts = ["same", "other", "same", "same"]
            task_id = await embedder.publish(texts)
            await embedder.empty()
            assert_complete(embedder, task_id, texts)
            assert embedder.source.bought == ["same", "other"]

    virtual_time.run(work())


def test_a_chunk_of_rejects_alone_buys_nothing_and_settles() -> None:
    async def work() -> None:
        async with running() as embedder:
            task_id = await embedder.publish([], rejects=3)
            await embedder.empty()
            assert len(embedder.indexer.settled[task_id, 0].rejects) == 3
            assert not embedder.source.requests

    virtual_time.run(work())


def test_a_call_that_breaks_sends_again_what_was_bought_and_buys_nothing_twice() -> None:
    async def work() -> None:
        async with running(inputs=1, slots=1) as embedder:
            away = indexer_client.IndexerUnavailable("reset")
            embedder.indexer.breaks_in_vectors = [away, away]
            embedder.indexer.breaks_in_settle = [away]
            task_id = await embedder.publish()
            await embedder.empty()
            assert_complete(embedder, task_id)
            assert embedder.source.bought == TEXTS
            assert embedder.indexer.sent.count("header") == 4

    virtual_time.run(work())


def test_a_call_that_broke_because_the_chunk_is_void_is_not_repeated_for_ever() -> None:
    async def work() -> None:
        async with running() as embedder:

            def closed() -> Exception:
                embedder.indexer.gate = indexer_client.Gate.STALE
                return indexer_client.IndexerUnavailable("INTERNAL: Internal error from Core")

            class Breaks(list[Exception]):
                def pop(self, index: Any = 0) -> Exception:
                    return closed()

            embedder.indexer.breaks_in_settle = Breaks([Exception()])
            await embedder.publish()
            await embedder.empty(seconds=60)
            assert not embedder.indexer.settled
            assert embedder.indexer.sent.count("header") == 1
            assert embedder.source.bought == TEXTS

    virtual_time.run(work())


def test_an_indexer_that_refuses_the_chunk_voids_it() -> None:
    async def work() -> None:
        async with running() as embedder:
            embedder.indexer.breaks_in_settle = [indexer_client.ChunkRefused("the turn passed on")]
            await embedder.publish()
            await embedder.empty()
            assert not embedder.indexer.settled

    virtual_time.run(work())


def test_a_refused_text_is_a_reject_and_its_neighbours_are_indexed() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.bad_texts = {"two"}
        async with running(source) as embedder:
            task_id = await embedder.publish(["one", "two", "three", "two"])
            await embedder.empty()
            call = embedder.indexer.settled[task_id, 0]
            assert set(call.vectors) == {"7.1", "7.3"}
            assert call.rejects == {2: "embedding_refused", 4: "embedding_refused"}

    virtual_time.run(work())


def test_a_refused_account_blocks_the_task_and_settles_nothing() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.refusal = openai_errors.AccountRefused("You exceeded your current quota.")
        async with running(source) as embedder:
            task_id = await embedder.publish(count=3)
            await embedder.empty()
            assert not embedder.indexer.settled
            assert "exceeded your current quota" in embedder.indexer.blocked[task_id]
            assert len(source.requests) <= 3

    virtual_time.run(work())


def test_who_lost_the_chunk_meanwhile_stops_no_task_for_a_refusal() -> None:
    """It stood still with the refusal in its socket: by now the account is good, and another has settled the chunk."""

    class Late(embeddings.FakeEmbeddings):
        async def embed(self, texts: Sequence[str]) -> Any:
            for lane in embedder.queue.lanes.values():
                for entry_id in list(lane.pending):
                    lane.acknowledge(entry_id)
            raise openai_errors.AccountRefused("You exceeded your current quota.")

    async def work() -> None:
        nonlocal embedder
        async with running(Late()) as embedder:
            await embedder.publish()
            await embedder.empty()
            await embedder.until(lambda: not embedder.consumer.held)
            assert not embedder.indexer.blocked

    embedder: Embedder
    virtual_time.run(work())


def test_what_is_handed_out_in_the_moment_of_closing_goes_back() -> None:
    """The loop was cancelled and not awaited: its chunks went back after the consumer was gone, or never."""

    async def work() -> None:
        async with running(slots=2) as embedder:
            take = embedder.queue.take

            async def slow(*arguments: Any) -> Any:
                await asyncio.sleep(0.5)
                return await take(*arguments)

            await asyncio.sleep(2)
            embedder.queue.take = slow  # type: ignore[method-assign]
            task_id = await embedder.publish()
            await asyncio.sleep(0.3)  # it is asking
            await embedder.consuming.close()
            (lane,) = [lane for lane in embedder.queue.lanes.values() if lane.entries]
            assert {pending.consumer for pending in lane.pending.values()} <= {"~returned"}
            assert set(await embedder.queue.in_flight(task_id)) == {0}

    virtual_time.run(work())


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        ("INVALID_ARGUMENT", "rows", indexer_client.Impossible),
        ("NOT_FOUND", "", indexer_client.Impossible),
        ("FAILED_PRECONDITION", "", indexer_client.Impossible),
        ("OUT_OF_RANGE", "", indexer_client.Impossible),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (5000000 vs. 4194304)", indexer_client.Impossible),
        ("RESOURCE_EXHAUSTED", "Too many streams", indexer_client.IndexerUnavailable),
        ("INTERNAL", "", indexer_client.IndexerUnavailable),
        ("UNAVAILABLE", "", indexer_client.IndexerUnavailable),
        ("ABORTED", "stale", indexer_client.ChunkRefused),
    ],
)
def test_never_and_not_now_of_the_indexer_are_told_apart(code: str, details: str, kind: type[Exception]) -> None:
    async def work() -> None:
        error = grpc.aio.AioRpcError(grpc.StatusCode[code], grpc.aio.Metadata(), grpc.aio.Metadata(), details)
        with pytest.raises(kind) as caught:
            async with indexer_client._translated():
                raise error
        assert type(caught.value) is kind

    virtual_time.run(work())


def test_an_entry_that_holds_no_rows_leaves_the_queue_unsettled() -> None:
    async def work() -> None:
        async with running() as embedder:
            await chunks.publish(embedder.queue, 1, payload=b"\xff\xff\xff")
            await embedder.empty()
            assert not embedder.indexer.settled

    virtual_time.run(work())


def test_a_lost_lease_drops_the_chunk_without_a_word() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=1_000)
        async with running(source) as embedder:
            task_id = await embedder.publish()
            await embedder.until(lambda: source.under_way)
            (held,) = embedder.consumer.held
            held.lose("not_owner")
            await embedder.until(lambda: not embedder.consumer.held, seconds=5)
            assert not embedder.indexer.settled
            assert await embedder.queue.in_flight(task_id)

    virtual_time.run(work())


def test_work_without_progress_ends_the_lease() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=100_000)  # a call that nothing bounds
        async with running(source, timeout=60) as embedder:
            await embedder.publish()
            await embedder.until(lambda: source.under_way)
            (held,) = embedder.consumer.held
            await embedder.until(held.lost.is_set, seconds=120)

    virtual_time.run(work())


def test_draining_finishes_what_is_bought_and_hands_back_the_rest() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=10)
        async with running(source, slots=2, inputs=3) as embedder:
            bought = await embedder.publish()
            await embedder.until(lambda: source.under_way)
            embedder.limiter.down = True  # the next finds no permit
            waiting = await embedder.publish(["four", "five"])
            await embedder.until(lambda: len(embedder.consumer.held) == 2)
            await asyncio.sleep(1)
            began = asyncio.get_running_loop().time()
            await embedder.consuming.drain()
            assert asyncio.get_running_loop().time() - began <= 11
            assert_complete(embedder, bought)
            assert (waiting, 0) not in embedder.indexer.settled
            assert not embedder.consumer.held
            assert await embedder.queue.in_flight(waiting), "handed back, not acknowledged"

    virtual_time.run(work())


def test_closing_in_mid_call_hands_everything_back() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=1_000)
        async with running(source) as embedder:
            task_id = await embedder.publish()
            await embedder.until(lambda: source.under_way)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):  # as the grace period cuts it
                    await embedder.consuming.drain()
        assert await embedder.queue.in_flight(task_id)
        other = consumer.Consumer(embedder.queue, slots=1)
        (delivery,) = await other.take(1)
        assert delivery.delivery_count == 1, "a hand-back does not count"

    virtual_time.run(work())


def test_nothing_of_a_chunk_is_kept_once_it_is_settled() -> None:
    async def work() -> None:
        async with running() as embedder:
            alive: weakref.WeakSet[pending_batch.PendingBatch] = weakref.WeakSet()
            make = pending_batch.PendingBatch.__init__

            def watched(self: pending_batch.PendingBatch, *given: Any, **options: Any) -> None:
                make(self, *given, **options)
                alive.add(self)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(pending_batch.PendingBatch, "__init__", watched)
                await embedder.publish(count=4)
                await embedder.empty()
                await asyncio.sleep(5)
            gc.collect()
            assert not list(alive)

    virtual_time.run(work())


def test_a_valkey_that_is_away_at_the_ack_settles_nothing_twice() -> None:
    async def work() -> None:
        async with running() as embedder:
            task_id = await embedder.publish()
            await embedder.until(lambda: embedder.source.under_way)
            embedder.queue.down = True
            await embedder.until(lambda: embedder.indexer.settled)
            await asyncio.sleep(3)
            embedder.queue.down = False
            await embedder.empty()
            assert_complete(embedder, task_id)
            assert embedder.source.bought == TEXTS

    virtual_time.run(work())


def test_what_is_bought_for_a_key_with_a_limit_is_counted_as_billed_and_for_nobody_else() -> None:
    texts = ["a red bicycle for children", "a blue mountain bike"]

    async def work() -> None:
        async with running() as embedder:
            embedder.source.billed = lambda texts: sum(tokens.count(texts))
            await embedder.publish(texts, client="ann")
            await embedder.publish(TEXTS)
            await embedder.empty()
            assert embedder.spent.by_key == {"ann": sum(tokens.count(texts))}

    virtual_time.run(work())


def test_what_was_bought_of_a_chunk_that_never_settles_is_counted_too() -> None:
    async def work() -> None:
        async with running() as embedder:
            embedder.source.billed = lambda _texts: None  # the server does not say
            embedder.indexer.breaks_in_settle = [indexer_client.ChunkRefused("its task was cancelled meanwhile")]
            await embedder.publish(TEXTS, client="ann")
            await embedder.empty()
            assert not embedder.indexer.settled
            assert embedder.spent.by_key == {"ann": sum(tokens.count(TEXTS))}

    virtual_time.run(work())
