"""Chunks that kill: strikes that stay or go, and the end by a header that is never decoded."""

from typing import Any

import pytest

from services.embedder import indexer_client
from services.embedder.working import decoding
from tests.support import chunks, virtual_time
from tests.support.working import running


def test_a_poison_chunk_fails_by_its_header_and_is_never_decoded() -> None:
    async def work() -> None:
        async with running() as embedder:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(decoding.rows, "decode", lambda _payload: pytest.fail("decoded"))
                await chunks.crashed(embedder.queue, "task-poison", 0, 5)
                await chunks.publish(embedder.queue, 1, task_id="task-poison", payload=b"kills")
                await embedder.empty()
            assert embedder.indexer.failed == [("task-poison", 0, "poison")]

    virtual_time.run(work())


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

    virtual_time.run(work())


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

    virtual_time.run(work())


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

    virtual_time.run(work())


def test_no_strike_stays_after_a_chunk() -> None:
    async def work() -> None:
        async with running() as embedder:
            task_id = await embedder.publish()
            await embedder.empty()
            assert await embedder.queue.strikes(task_id, 0) == 0

    virtual_time.run(work())
