"""Equal texts of a task are bought once across its chunks, and nobody waits for what nobody buys."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from services.embedder.buying import reuse
from services.embedder.buying.pending_batch import PendingBatch, Reason
from services.embedder.openai import errors as openai_errors
from tests.support import buying, embeddings, virtual_time


class Desk:
    """Chunks of tasks, bought through one process."""

    def __init__(self, shared: buying.Buying) -> None:
        self.shared = shared
        self.reuse = reuse.Reuse(shared.batcher.place)

    def batch(self, *texts: str, task: str = "task") -> PendingBatch:
        batch = PendingBatch(list(texts), [1] * len(texts), lambda: None)
        self.shared.open(batch)
        self.reuse.enter(task, batch)
        return batch

    def end(self, batch: PendingBatch) -> None:
        """As a worker ends it."""
        self.reuse.leave(batch)
        self.shared.batcher.withdraw(batch)
        self.shared.close(batch)


@contextlib.asynccontextmanager
async def opened(source: embeddings.FakeEmbeddings) -> AsyncIterator[Desk]:
    async with buying.opened(source) as shared:
        yield Desk(shared)


def scenario(work: Callable[[Desk], Awaitable[None]], source: embeddings.FakeEmbeddings | None = None) -> list[str]:
    """Run, and answer what was bought."""
    bought = source or embeddings.FakeEmbeddings()

    async def run() -> None:
        async with opened(bought) as desk:
            await work(desk)
            assert not desk.reuse._buyers
            assert not desk.reuse._waiting
            assert not desk.reuse._keys

    virtual_time.run(run())
    return bought.bought


def test_a_text_that_was_bought_is_there_for_the_next_chunk() -> None:
    async def work(desk: Desk) -> None:
        first = desk.batch("a", "b")
        await buying.complete(first)
        desk.end(first)
        second = desk.batch("b", "c")
        await buying.complete(second)
        buying.assert_delivered(second)
        assert (second.reused, second.paid.texts_bought) == ({0}, 1)
        desk.end(second)

    assert scenario(work) == ["a", "b", "c"]


def test_a_text_that_is_being_bought_is_waited_for() -> None:
    async def work(desk: Desk) -> None:
        batches = [desk.batch("a", "b"), desk.batch("b", "c"), desk.batch("a", "b", "c")]
        await buying.complete(*batches)
        for batch in batches:
            buying.assert_delivered(batch)
            desk.end(batch)
        assert [batch.paid.texts_bought for batch in batches] == [2, 1, 0]

    assert sorted(scenario(work)) == ["a", "b", "c"]


def test_other_tasks_share_nothing() -> None:
    async def work(desk: Desk) -> None:
        for task in ("one", "two"):
            batch = desk.batch("a", task=task)
            await buying.complete(batch)
            desk.end(batch)

    assert scenario(work) == ["a", "a"]


def test_who_waits_buys_when_the_buyer_is_dropped() -> None:
    source = embeddings.FakeEmbeddings(seconds=10.0)

    async def work(desk: Desk) -> None:
        first = desk.batch("a", "b")
        waiting = [desk.batch("b", "a"), desk.batch("a", "b")]
        await asyncio.sleep(1)
        assert source.under_way
        first.drop(Reason.LEASE_LOST)
        await buying.complete(*waiting, seconds=60)
        for batch in waiting:
            buying.assert_delivered(batch)
        assert [batch.paid.texts_bought for batch in waiting] == [2, 0], "one of them, not each"
        for batch in (first, *waiting):
            desk.end(batch)

    scenario(work, source)


def test_a_refusal_is_everybodys() -> None:
    source = embeddings.FakeEmbeddings()
    source.bad_texts = {"bad"}

    async def work(desk: Desk) -> None:
        batches = [desk.batch("bad", "a"), desk.batch("bad", "b")]
        await buying.complete(*batches)
        for batch in batches:
            assert batch.refusals.keys() == {0}
            desk.end(batch)

    scenario(work, source)
    assert sum("bad" in texts for _, texts in source.requests) < 5


def test_who_waits_goes_on_while_the_buyer_does() -> None:
    """Else its lease would end after TASK_TIMEOUT, for waiting."""
    source = embeddings.FakeEmbeddings(seconds=5.0)
    source.script = [openai_errors.Failed("HTTP 503")] * 3
    beats: list[float] = []

    async def work(desk: Desk) -> None:
        first = desk.batch("a")
        second = PendingBatch(["a"], [1], lambda: beats.append(asyncio.get_running_loop().time()))
        desk.shared.open(second)
        desk.reuse.enter("task", second)
        await buying.complete(first, second)
        for batch in (first, second):
            desk.end(batch)

    scenario(work, source)
    assert len(beats) >= 4


@pytest.mark.parametrize("seed", range(30))
def test_chunks_that_come_and_go_at_any_time_leave_nobody_waiting(seed: int) -> None:
    choice = random.Random(seed)
    source = embeddings.FakeEmbeddings(seconds=0.5)

    async def work(desk: Desk) -> None:
        async def chunk() -> None:
            await asyncio.sleep(choice.uniform(0, 5))
            batch = desk.batch(*choice.sample([f"text {number}" for number in range(12)], 5))
            try:
                if choice.random() < 0.4:
                    await asyncio.sleep(choice.uniform(0, 2))
                    batch.drop(Reason.VOID)
                else:
                    await buying.complete(batch, seconds=120)
                    buying.assert_delivered(batch)
            finally:
                desk.end(batch)

        await asyncio.gather(*(chunk() for _ in range(40)))

    bought = scenario(work, source)
    assert set(bought) <= {f"text {number}" for number in range(12)}
    assert len(bought) < 100, "40 chunks of 5 texts without it"
