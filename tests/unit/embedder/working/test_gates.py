"""The gate: asked all the while a chunk is in work, and told why nothing is bought."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from services.embedder import indexer_client
from services.embedder.buying import pending_batch
from services.embedder.openai import errors as openai_errors
from tests.support import embeddings, virtual_time
from tests.support.working import assert_complete, running


@pytest.mark.parametrize("gate", ["CANCELLED", "BLOCKED", "STALE", "SETTLED"])
def test_a_closed_gate_ends_the_delivery_unsettled_and_unbought(gate: str) -> None:
    async def work() -> None:
        async with running() as embedder:
            embedder.indexer.gate = indexer_client.Gate[gate]
            await embedder.publish()
            await embedder.empty()
            assert not embedder.source.requests
            assert not embedder.indexer.settled

    virtual_time.run(work())


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

    virtual_time.run(work())


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

    virtual_time.run(work())


def test_a_gate_of_an_unknown_kind_is_a_defect_and_never_a_silent_stall() -> None:
    async def work() -> None:
        async with running() as embedder:
            embedder.indexer.gate = ValueError("0 is not a valid Gate")
            task_id = await embedder.publish()
            await embedder.until(lambda: embedder.indexer.gate_calls)
            await embedder.until(lambda: not embedder.consumer.held)
            assert await embedder.queue.in_flight(task_id), "not acknowledged: another try follows"

    virtual_time.run(work())


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

    virtual_time.run(work())


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

    virtual_time.run(work())
