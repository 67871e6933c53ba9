"""The ends of a delivery: settled, void, handed back, lost, poison; and what is kept when something breaks."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Coroutine, Sequence
from typing import Any

import grpc
import pytest

from services.chunks import consumer
from services.embedder import indexer_client
from services.embedder.buying import pending_batch, tokens
from services.embedder.openai import errors as openai_errors
from services.embedder.working import decoding
from tests.support import chunks, embeddings, virtual_time
from tests.support.working import TEXTS, Embedder, running


def scenario(work: Coroutine[Any, Any, None]) -> None:
    virtual_time.run(work)


def assert_complete(embedder: Embedder, task_id: str, texts: Sequence[str] = TEXTS) -> None:
    vectors = embedder.indexer.settled[task_id, 0].vectors
    assert vectors == {f"7.{number}": embeddings.vector(text) for number, text in enumerate(texts, start=1)}


def test_a_chunk_is_bought_sent_settled_and_acknowledged() -> None:
    async def work() -> None:
        async with running() as embedder:
            task_id = await embedder.publish(rejects=2)
            await embedder.empty()
            assert_complete(embedder, task_id)
            assert embedder.indexer.settled[task_id, 0].rejects == {4: "empty_text", 5: "empty_text"}
            assert embedder.source.bought == TEXTS
            assert not await embedder.queue.in_flight(task_id)

    scenario(work())


def test_identical_texts_of_a_chunk_are_bought_once() -> None:
    async def work() -> None:
        async with running() as embedder:
            texts = ["same", "other", "same", "same"]
            task_id = await embedder.publish(texts)
            await embedder.empty()
            assert_complete(embedder, task_id, texts)
            assert embedder.source.bought == ["same", "other"]

    scenario(work())


def test_a_chunk_of_rejects_alone_buys_nothing_and_settles() -> None:
    async def work() -> None:
        async with running() as embedder:
            task_id = await embedder.publish([], rejects=3)
            await embedder.empty()
            assert len(embedder.indexer.settled[task_id, 0].rejects) == 3
            assert not embedder.source.requests

    scenario(work())


@pytest.mark.parametrize("gate", ["CANCELLED", "BLOCKED", "STALE", "SETTLED"])
def test_a_closed_gate_ends_the_delivery_unsettled_and_unbought(gate: str) -> None:
    async def work() -> None:
        async with running() as embedder:
            embedder.indexer.gate = indexer_client.Gate[gate]
            await embedder.publish()
            await embedder.empty()
            assert not embedder.source.requests
            assert not embedder.indexer.settled

    scenario(work())


@pytest.mark.parametrize("gate", [indexer_client.Gate.WAIT, indexer_client.IndexerUnavailable("away")])
def test_a_gate_that_waits_stops_the_buying_and_keeps_the_lease(gate: Any) -> None:
    async def work() -> None:
        async with running(timeout=20) as embedder:
            embedder.indexer.gate = gate
            task_id = await embedder.publish()
            await asyncio.sleep(300)
            assert not embedder.source.requests
            assert embedder.consumer.held, "waiting is progress, whatever TASK_TIMEOUT says"
            embedder.indexer.gate = indexer_client.Gate.GO
            await embedder.empty(seconds=5)
            assert_complete(embedder, task_id)

    scenario(work())


def test_a_gate_that_closes_stops_the_buying_within_two_seconds() -> None:
    async def work() -> None:
        async with running(inputs=1, slots=1) as embedder:
            await embedder.publish([f"text {number}" for number in range(1_000)])
            await asyncio.sleep(5)
            embedder.indexer.gate = indexer_client.Gate.CANCELLED
            closed = asyncio.get_running_loop().time()
            await embedder.empty()
            assert max(at for at, _ in embedder.source.requests) <= closed + 2.0
            assert not embedder.indexer.settled

    scenario(work())


def test_a_gate_of_an_unknown_kind_is_a_defect_and_never_a_silent_stall() -> None:
    async def work() -> None:
        async with running() as embedder:
            embedder.indexer.gate = ValueError("0 is not a valid Gate")
            task_id = await embedder.publish()
            await embedder.until(lambda: embedder.indexer.gate_calls)
            await embedder.until(lambda: not embedder.consumer.held)
            assert await embedder.queue.in_flight(task_id), "not acknowledged: another try follows"

    scenario(work())


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

    scenario(work())


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

    scenario(work())


def test_an_indexer_that_refuses_the_chunk_voids_it() -> None:
    async def work() -> None:
        async with running() as embedder:
            embedder.indexer.breaks_in_settle = [indexer_client.ChunkRefused("the turn passed on")]
            await embedder.publish()
            await embedder.empty()
            assert not embedder.indexer.settled

    scenario(work())


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

    scenario(work())


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

    scenario(work())


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
    scenario(work())


def test_a_poison_chunk_fails_by_its_header_and_is_never_decoded() -> None:
    async def work() -> None:
        async with running() as embedder:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(decoding.rows, "decode", lambda _payload: pytest.fail("decoded"))
                await chunks.crashed(embedder.queue, "task-poison", 0, 5)
                await chunks.publish(embedder.queue, 1, task_id="task-poison", payload=b"kills")
                await embedder.empty()
            assert embedder.indexer.failed == [("task-poison", 0, "poison")]

    scenario(work())


@pytest.mark.parametrize(
    ("gate", "left"),
    [
        (indexer_client.Gate.GO, 0),
        (indexer_client.Gate.SETTLED, 0),
        (indexer_client.Gate.CANCELLED, 0),
        (indexer_client.Gate.BLOCKED, 5),
        (indexer_client.Gate.STALE, 5),
    ],
)
def test_a_poison_chunk_that_is_not_settled_keeps_its_strikes(gate: indexer_client.Gate, left: int) -> None:
    """Its task is blocked: when that is resumed it is split again, and killed five more processes."""

    async def work() -> None:
        async with running() as embedder:
            embedder.indexer.failing_gate = gate
            await chunks.crashed(embedder.queue, "task-poison", 0, 5)
            await chunks.publish(embedder.queue, 1, task_id="task-poison", payload=b"kills")
            await embedder.empty()
            assert await embedder.queue.strikes("task-poison", 0) == left

    scenario(work())


@pytest.mark.parametrize(
    ("gate", "left"),
    [
        (indexer_client.Gate.BLOCKED, 1),
        (indexer_client.Gate.STALE, 1),
        (indexer_client.Gate.CANCELLED, 0),
        (indexer_client.Gate.SETTLED, 0),
    ],
)
def test_a_void_chunk_keeps_its_strikes_while_it_may_be_split_again(gate: indexer_client.Gate, left: int) -> None:
    """What another settled, or its task left behind when it ended, is worked by nobody again."""

    async def work() -> None:
        async with running() as embedder:
            embedder.indexer.gate = gate
            task_id = await embedder.publish()
            await chunks.crashed(embedder.queue, task_id, 0)
            await embedder.empty()
            assert await embedder.queue.strikes(task_id, 0) == left

    scenario(work())


def test_the_gate_is_told_why_nothing_is_bought_for_as_long_as_nothing_is() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Failed("HTTP 503: no 'A lamp' today", 3.0, "OpenAI answers HTTP 503.")] * 2
        async with running(source) as embedder:
            await embedder.publish()
            await embedder.empty()
            told = list(dict.fromkeys(embedder.indexer.waits))
            assert told == [
                "",
                "OpenAI answers HTTP 503.",
            ]  # what a server quotes is not for the callers of other tasks
            await embedder.publish()
            await embedder.empty()
            assert embedder.indexer.waits[-1] == ""
            source.script = [openai_errors.Throttled(3.0, tokens_exceeded=False)]
            await embedder.publish()
            await embedder.empty()
            assert "OpenAI answers HTTP 429." in embedder.indexer.waits

    scenario(work())


def test_the_gate_is_asked_a_second_after_the_question_however_late_the_answer() -> None:
    """An answer counts from its question on; one that took ten seconds was worth nothing when it came."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=9.0)
        async with running(source) as embedder:
            asked: list[tuple[float, float]] = []
            loop = asyncio.get_running_loop()

            async def slow(*_arguments: Any, waits: str, answer_seconds: float) -> Sequence[indexer_client.Gate]:
                asked.append((loop.time(), answer_seconds))
                await asyncio.sleep(0.9)
                return [indexer_client.Gate.GO]

            embedder.indexer.begin_chunks = slow  # type: ignore[method-assign]
            await embedder.publish()
            await embedder.empty()
            assert {seconds for _, seconds in asked} == {pending_batch.GATE_SECONDS}
            first, second, *_ = asked
            assert second[0] - first[0] == pytest.approx(1.0, abs=0.01)
            assert len(asked) >= 8

    scenario(work())


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

    scenario(work())


@pytest.mark.parametrize("where", ["breaks_in_vectors", "breaks_in_settle", "gate"])
def test_what_the_indexer_refuses_for_good_ends_as_poison(where: str, logged: list[Any]) -> None:
    """One chunk was sent 5,812 times in four hours, each time with all its upserts."""

    async def work() -> None:
        async with running() as embedder:
            refusal = indexer_client.Impossible("INVALID_ARGUMENT: ROWS_UNACCOUNTED")
            setattr(embedder.indexer, where, refusal if where == "gate" else [refusal] * 100)
            task_id = await embedder.publish()
            await embedder.empty()
            assert embedder.indexer.failed == [(task_id, 0, "poison")]
            assert not embedder.indexer.settled
            assert embedder.indexer.sent.count("header") <= 5
            assert [line["why"] for line in logged if line["action"] == "chunk_impossible"] == [str(refusal)]

    scenario(work())


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

    scenario(work())


def test_an_entry_that_holds_no_rows_leaves_the_queue_unsettled() -> None:
    async def work() -> None:
        async with running() as embedder:
            await chunks.publish(embedder.queue, 1, payload=b"\xff\xff\xff")
            await embedder.empty()
            assert not embedder.indexer.settled

    scenario(work())


def test_no_strike_stays_after_a_chunk() -> None:
    async def work() -> None:
        async with running() as embedder:
            task_id = await embedder.publish()
            await embedder.empty()
            assert await embedder.queue.strikes(task_id, 0) == 0

    scenario(work())


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

    scenario(work())


def test_work_without_progress_ends_the_lease() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=100_000)  # a call that nothing bounds
        async with running(source, timeout=60) as embedder:
            await embedder.publish()
            await embedder.until(lambda: source.under_way)
            (held,) = embedder.consumer.held
            await embedder.until(held.lost.is_set, seconds=120)

    scenario(work())


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

    scenario(work())


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

    scenario(work())


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

    scenario(work())


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

    scenario(work())


def test_what_is_bought_for_a_key_with_a_limit_is_counted_as_billed_and_for_nobody_else() -> None:
    texts = ["a red bicycle for children", "a blue mountain bike"]

    async def work() -> None:
        async with running() as embedder:
            embedder.source.billed = lambda texts: sum(tokens.count(texts))
            await embedder.publish(texts, client="ann")
            await embedder.publish(TEXTS)
            await embedder.empty()
            assert embedder.spent.by_key == {"ann": sum(tokens.count(texts))}

    scenario(work())


def test_what_was_bought_of_a_chunk_that_never_settles_is_counted_too() -> None:
    async def work() -> None:
        async with running() as embedder:
            embedder.source.billed = lambda _texts: None  # the server does not say
            embedder.indexer.breaks_in_settle = [indexer_client.ChunkRefused("its task was cancelled meanwhile")]
            await embedder.publish(TEXTS, client="ann")
            await embedder.empty()
            assert not embedder.indexer.settled
            assert embedder.spent.by_key == {"ann": sum(tokens.count(TEXTS))}

    scenario(work())
