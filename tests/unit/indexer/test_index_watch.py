"""Tasks follow the index: blocked while it takes nothing, and on again when it does."""

from typing import Any

import pytest

from services.indexer import index_watch
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line

PROBLEM = errors.Conflict("The index 'idx' keeps sparse vectors.", reason="INDEX_UNUSABLE")


class Index:
    """An index that is what it is told to be from the next look on."""

    def __init__(self) -> None:
        self.problem: errors.Conflict | None = PROBLEM
        self.dimension = 0
        self.looks = 0

    async def look_again(self) -> None:
        self.looks += 1


@pytest.fixture
def index() -> Any:
    return Index()


async def statuses(line: Line, *task_ids: str) -> list[tuple[str, str]]:
    tasks = [await line.book.tasks.get(task_id) for task_id in task_ids]
    return [(str(task["status"]), task.get("error_reason", "")) for task in tasks]


async def test_every_open_task_is_blocked_while_the_index_takes_nothing_and_goes_on_after(
    line: Line, index: Any
) -> None:
    """Also those that nobody buys for, since the embedders cannot learn how wide vectors are."""
    scanned, new = await ledgers.scanned(line.book), await ledgers.create(line.book, question_id=7)
    watch = index_watch.IndexWatch(index, line.book)

    await watch.look()
    assert await statuses(line, scanned, new) == [("blocked", "INDEX_UNUSABLE")] * 2
    assert (await line.book.tasks.get(new))["error"] == PROBLEM.message

    index.problem, index.dimension = None, 1536
    await watch.look()
    assert await statuses(line, scanned, new) == [("processing_chunks", ""), ("queued", "")]


async def test_a_task_of_another_width_waits_for_an_index_of_its_own(line: Line, index: Any) -> None:
    index.problem, index.dimension = None, 768
    line.book.namespaces._index_dimension = lambda: index.dimension
    task_id = await ledgers.scanned(line.book)
    await line.book.turns.acquire(task_id)
    await line.book.shards.open(task_id, 0)
    await line.book.gate.begin(task_id, [0], 1, "small", 1536)
    watch = index_watch.IndexWatch(index, line.book)

    await watch.look()
    assert await statuses(line, task_id) == [("blocked", "DIMENSION_REFUSED")], "the embedders would be refused again"
    index.dimension = 1536
    await watch.look()
    assert await statuses(line, task_id) == [("processing_chunks", "")]


async def test_what_is_blocked_for_another_reason_stays_so(line: Line, index: Any) -> None:
    index.problem, index.dimension = None, 1536
    task_id = await ledgers.scanned(line.book)
    await line.book.tasks.block(task_id, "INDEX_QUOTA_EXCEEDED", "words")
    await index_watch.IndexWatch(index, line.book).look()
    assert await statuses(line, task_id) == [("blocked", "INDEX_QUOTA_EXCEEDED")]


async def test_an_index_that_was_never_described_moves_nobody(line: Line, index: Any) -> None:
    index.problem = None
    task_id = await ledgers.scanned(line.book)
    await line.book.tasks.block(task_id, "INDEX_UNUSABLE", "words")
    await index_watch.IndexWatch(index, line.book).look()
    assert await statuses(line, task_id) == [("blocked", "INDEX_UNUSABLE")]
