"""The gate before every purchase and write."""

import asyncio
import collections
from collections.abc import Sequence

import pytest

from services.indexer import ledger
from services.indexer.ledger import gate, namespaces
from services.indexer.ledger.gate import Answer
from services.indexer.storage import memory, table
from tests.support import ledgers
from tests.support.ledgers import Line

MODEL = "text-embedding-3-small"
SMALL = namespaces.Wanted("v2", namespaces.Kind(MODEL, 1536))


async def begin(line: Line, task_id: str, *, chunk: int = 0, fence: int = 1, model: str = MODEL) -> Answer:
    (answer,) = await line.book.gate.begin(task_id, [chunk], fence, model, 1536)
    return answer


async def ready(line: Line, **changes: object) -> str:
    task_id = await ledgers.scanned(line.book, **changes)
    await line.book.turns.acquire(task_id)
    await line.book.shards.open(task_id, 0)
    return task_id


async def test_it_says_go_and_the_task_learns_its_model(line: Line) -> None:
    task_id = await ready(line)
    assert await begin(line, task_id) == Answer.GO
    assert (await line.book.tasks.get(task_id))["model"] == MODEL


async def test_settled_wins_over_everything(line: Line) -> None:
    task_id = await ready(line)
    await line.book.closing.settle(task_id, 0, ledgers.good())
    await line.book.tasks.cancel(task_id)
    assert await begin(line, task_id, fence=9) == Answer.SETTLED
    assert await begin(line, task_id, chunk=1) == Answer.CANCELLED


async def test_terminal_unknown_blocked_stale_and_unopened_are_dropped(line: Line) -> None:
    task_id = await ready(line)
    assert await begin(line, task_id, fence=2) == Answer.STALE
    assert await begin(line, task_id, fence=0) == Answer.STALE
    assert await begin(line, task_id, chunk=256) == Answer.STALE  # its shard was never opened
    await line.book.tasks.block(task_id, "R", "m")
    assert await begin(line, task_id) == Answer.BLOCKED
    await line.book.tasks.resume(task_id)
    assert await begin(line, task_id) == Answer.STALE  # until it has its turn again
    await line.book.tasks.fail(task_id, "R", "m")
    assert await begin(line, task_id) == Answer.CANCELLED
    assert await begin(line, "nobody") == Answer.CANCELLED


async def test_an_open_circuit_says_wait(line: Line) -> None:
    task_id = await ready(line)
    line.circuit[0] = True
    assert await begin(line, task_id) == Answer.WAIT
    line.circuit[0] = False
    assert await begin(line, task_id) == Answer.GO


async def test_an_index_of_another_dimension_blocks_the_task_before_anything_is_bought(line: Line) -> None:
    line.book.namespaces._index_dimension = lambda: 768
    task_id = await ready(line)

    assert await begin(line, task_id) == Answer.BLOCKED
    task = await line.book.tasks.get(task_id)
    assert task["error_reason"] == "DIMENSION_REFUSED"
    assert "768" in task["error"]


async def test_an_index_that_was_put_right_is_looked_at_again_before_a_task_is_blocked(line: Line) -> None:
    """Else a resumed task would be blocked again until every indexer was restarted."""
    known = [768]

    async def look_again() -> None:
        known[0] = 1536

    line.book.namespaces._index_dimension = lambda: known[0]
    line.book.namespaces._look_again = look_again

    assert await begin(line, await ready(line)) == Answer.GO


async def test_another_model_of_the_same_dimension_blocks_the_task(line: Line) -> None:
    first = await ready(line)
    assert await begin(line, first) == Answer.GO
    assert await line.book.gate.check_write(first, 1, SMALL) == Answer.GO
    other = await ready(line, question_id=7)
    assert await begin(line, other, model="text-embedding-ada-002") == Answer.BLOCKED
    task = await line.book.tasks.get(other)
    assert task["status"] == "blocked"
    assert task["error_reason"] == "NAMESPACE_REFUSED"
    assert MODEL in task["error"]
    assert "text-embedding-ada-002" in task["error"]


async def test_a_claim_holds_in_every_process(line: Line) -> None:
    await line.book.namespaces.claim("v2", MODEL, 1536)
    other = ledger.Ledger(line.storage, line.book.clock, index=ledgers.INDEX)
    await other.namespaces.claim("v2", MODEL, 1536)
    await other.namespaces.check("v2", MODEL, 1536)
    await other.namespaces.check("unclaimed", "any", 3)
    for model, dimension in ((MODEL, 512), ("other", 1536)):
        with pytest.raises(namespaces.NamespaceRefused):
            await other.namespaces.claim("v2", model, dimension)
        with pytest.raises(namespaces.NamespaceRefused):
            await other.namespaces.admit("v2", model, dimension)
        with pytest.raises(namespaces.NamespaceRefused):
            await other.namespaces.check("v2", model, dimension)


async def test_a_write_is_checked_by_status_and_fence(line: Line) -> None:
    task_id = await ready(line)
    check = line.book.gate.check_write
    assert [await check(task_id, 1), await check(task_id, 2)] == [Answer.GO, Answer.STALE]
    await line.book.tasks.block(task_id, "R", "m")
    assert await check(task_id, 1) == Answer.BLOCKED
    await line.book.tasks.cancel(task_id)
    assert await check(task_id, 1) == Answer.CANCELLED
    assert await check("nobody", 1) == Answer.CANCELLED


async def test_asking_about_the_last_settled_chunk_heals_an_unclosed_task(line: Line) -> None:
    task_id = await ready(line)
    await line.book.closing.seal(task_id, 1, 10)
    await line.book.shards.settle(task_id, 0, ledgers.good(10))  # and then the indexer was killed
    assert await begin(line, task_id) == Answer.SETTLED
    assert (await line.book.tasks.get(task_id))["status"] == "completed"


async def test_a_chunk_fails_by_its_header_only_if_it_may(line: Line) -> None:
    task_id = await ready(line)
    outcome = ledgers.bad(5)
    assert await line.book.fail_chunk(task_id, 0, 2, outcome) == gate.Answer.STALE
    line.circuit[0] = True  # needs no Pinecone
    assert await line.book.fail_chunk(task_id, 0, 1, outcome) == gate.Answer.GO
    assert await line.book.fail_chunk(task_id, 0, 1, outcome) == gate.Answer.SETTLED
    (progress,) = await line.book.progress([await line.book.tasks.get(task_id)])
    assert (progress.failed, progress.chunks_settled, progress.chunks_failed) == (5, 1, 1)


class Counted(memory.MemoryTable):
    """A table whose calls take a moment and are counted."""

    def __init__(self) -> None:
        super().__init__(lambda: asyncio.sleep(0))
        self.calls: collections.Counter[str] = collections.Counter()

    async def get_many(self, keys: Sequence[str], paths: Sequence[table.Path] = ()) -> dict[str, table.Item]:
        self.calls["get_many"] += 1
        return await super().get_many(keys, paths)

    async def update(self, write: table.Update) -> table.Item:
        self.calls["update"] += 1
        return await super().update(write)


async def test_chunks_that_ask_at_once_are_answered_by_few_reads_each_by_its_own_outcome() -> None:
    storage = Counted()
    line = ledgers.line(storage)
    task_id = await ready(line)
    await line.book.closing.settle(task_id, 3, ledgers.good())
    storage.calls.clear()

    answers = await asyncio.gather(*(line.book.gate.check_chunk(task_id, chunk, 1) for chunk in range(40)))

    assert [chunk for chunk, answer in enumerate(answers) if answer == Answer.SETTLED] == [3]
    assert set(answers) == {Answer.SETTLED, Answer.GO}
    assert storage.calls["get_many"] == 1

    assert await line.book.gate.begin(task_id, range(40), 1, "small", 1536) == answers
    assert await line.book.gate.begin(task_id, range(40), 2, "small", 1536) == [
        Answer.SETTLED if chunk == 3 else Answer.STALE for chunk in range(40)
    ]


async def test_chunks_that_are_settled_at_once_are_settled_by_few_writes_and_each_once() -> None:
    storage = Counted()
    line = ledgers.line(storage)
    task_id = await ready(line, rows=20)
    await line.book.closing.settle(task_id, 3, ledgers.bad())
    storage.calls.clear()

    # Every chunk comes twice, and one was settled before
    settled = await asyncio.gather(
        *(line.book.closing.settle(task_id, chunk, ledgers.good()) for chunk in (*range(20), *range(20)))
    )

    assert [each.already for each in settled].count(False) == 19
    assert (settled[3].failed, settled[3].already) == (1, True)
    book = await line.book.shards.get(task_id, 0)
    assert book is not None
    assert (book["settled"], book["indexed"], book["failed"], len(book["c"])) == (20, 19, 1, 20)
    assert storage.calls["update"] <= 6


async def test_chunks_of_a_shard_that_nobody_opened_are_all_refused(line: Line) -> None:
    task_id = await ledgers.scanned(line.book)

    answers = await asyncio.gather(
        *(line.book.closing.settle(task_id, chunk, ledgers.good()) for chunk in range(4)), return_exceptions=True
    )

    assert {getattr(answer, "reason", None) for answer in answers} == {"SHARD_NOT_OPEN"}
