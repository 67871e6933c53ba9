"""A namespace is its first vector's: no purchase holds it, two models never share it, and an empty one is let go."""

import asyncio
import random
import types
from collections.abc import Callable
from typing import Any

import pytest

from services.indexer import ledger
from services.indexer.ledger import namespaces
from services.indexer.ledger.gate import Answer
from services.indexer.storage import memory
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line

SMALL, TYPO = namespaces.Kind("text-embedding-3-small", 1536), namespaces.Kind("text-embeding-3-small", 1536)


def to(kind: namespaces.Kind) -> namespaces.Wanted:
    return namespaces.Wanted("v2", kind)


async def ready(book: ledger.Ledger, **changes: Any) -> str:
    task_id = await ledgers.scanned(book, **changes)
    await book.turns.acquire(task_id)
    await book.shards.open(task_id, 0)
    return task_id


async def begin(line: Line, task_id: str, kind: namespaces.Kind, fence: int = 1) -> Answer:
    (answer,) = await line.book.gate.begin(task_id, [0], fence, kind.model, kind.dimension)
    return answer


async def empty() -> int:
    return 0


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What a release waited for, without waiting."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(namespaces, "asyncio", types.SimpleNamespace(sleep=sleep))
    return waited


async def test_a_model_that_was_never_bought_holds_no_namespace(line: Line) -> None:
    """A typo in OPENAI_MODEL on a new line closed the default namespace for good."""
    first = await ready(line.book)
    assert await begin(line, first, TYPO) == Answer.GO
    await line.book.tasks.block(first, "ACCOUNT_REFUSED", "no such model")

    await line.book.tasks.resume(first)
    await line.book.turns.acquire(first)
    fence = (await line.book.tasks.get(first))["fence"]
    assert await begin(line, first, SMALL, fence) == Answer.GO
    assert await line.book.gate.check_write(first, fence, to(SMALL)) == Answer.GO
    assert await line.book.namespaces.holds("v2") == SMALL


async def test_a_task_that_may_not_write_claims_nothing(line: Line) -> None:
    task_id = await ready(line.book)
    assert await line.book.gate.check_write(task_id, 9, to(SMALL)) == Answer.STALE
    await line.book.tasks.cancel(task_id)
    assert await line.book.gate.check_write(task_id, 1, to(SMALL)) == Answer.CANCELLED
    assert await line.book.namespaces.holds("v2") is None


async def test_of_two_models_that_were_both_bought_the_first_vector_decides(line: Line) -> None:
    one, two = await ready(line.book), await ready(line.book, question_id=7)
    assert await begin(line, one, SMALL) == await begin(line, two, TYPO) == Answer.GO

    assert await line.book.gate.check_write(two, 1, to(TYPO)) == Answer.GO
    assert await line.book.gate.check_write(one, 1, to(SMALL)) == Answer.BLOCKED

    assert (await line.book.tasks.get(one))["error_reason"] == "NAMESPACE_REFUSED"
    assert "vectorline namespace release v2" in (await line.book.tasks.get(one))["error"]


class Stepped(memory.MemoryTable):
    """A table that lets others go first, before and after each of its steps."""

    async def get_many(self, keys: Any, paths: Any = ()) -> Any:
        await ledgers.pause()
        found = await super().get_many(keys, paths)
        await ledgers.pause()
        return found

    async def put(self, write: Any) -> None:
        await ledgers.pause()
        await super().put(write)

    async def update(self, write: Any) -> Any:
        await ledgers.pause()
        return await super().update(write)


@pytest.mark.parametrize("seed", range(200))
def test_however_two_models_interleave_only_one_is_told_to_write(seed: int) -> None:
    line = ledgers.line(Stepped())
    tasks = [ledgers.at_once(ready(line.book, question_id=number)) for number in range(4)]
    told: list[str] = []

    async def write(task_id: str, kind: namespaces.Kind) -> None:
        if await line.book.gate.check_write(task_id, 1, to(kind)) is Answer.GO:
            told.append(kind.model)

    scheduler = ledgers.Scheduler(random.Random(seed).randrange)
    for task_id, kind in zip(tasks, (SMALL, TYPO) * 2, strict=True):
        scheduler.add(write(task_id, kind))
    scheduler.run()

    assert len(told) == 2
    assert len(set(told)) == 1


async def test_an_empty_namespace_is_released_and_the_next_task_decides(line: Line, waits: list[float]) -> None:
    await line.book.namespaces.claim("v2", TYPO.model, TYPO.dimension)
    other = ledger.Ledger(line.storage, line.book.clock, index=ledgers.INDEX)
    assert await other.namespaces.holds("v2") == TYPO

    assert await line.book.namespaces.release("v2", empty) == TYPO

    assert waits == [ledgers.DEADLINE_SECONDS + 3], "an upsert that was allowed before may be on its way so long"
    task_id = await ready(line.book)
    assert await begin(line, task_id, SMALL) == Answer.GO
    assert await other.gate.check_write(task_id, 1, to(SMALL)) == Answer.GO, "whatever another process remembers"


async def test_what_a_process_remembers_of_a_namespace_is_soon_read_again(
    line: Line, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ledger.Ledger(line.storage, line.book.clock, index=ledgers.INDEX)
    await line.book.namespaces.claim("v2", TYPO.model, TYPO.dimension)
    assert await other.namespaces.holds("v2") == TYPO
    await line.book.namespaces.release("v2", empty)

    monkeypatch.setattr(namespaces, "KNOWN_SECONDS", 0.0)
    await other.namespaces.check("v2", SMALL.model, SMALL.dimension)


async def test_a_namespace_that_holds_vectors_is_kept(line: Line, waits: list[float]) -> None:
    await line.book.namespaces.claim("v2", SMALL.model, SMALL.dimension)

    async def count() -> int:
        return 7

    with pytest.raises(errors.Conflict, match="holds 7 vectors") as refused:
        await line.book.namespaces.release("v2", count)
    assert refused.value.reason == "NAMESPACE_NOT_EMPTY"
    assert waits == []
    assert await line.book.namespaces.holds("v2") == SMALL


def counting(*answers: Any) -> Callable[[], Any]:
    left = list(answers)

    async def count() -> int:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    return count


@pytest.mark.parametrize("second", [1, errors.Unavailable("away")])
async def test_a_release_that_cannot_be_finished_leaves_the_claim_as_it_was(
    line: Line, waits: list[float], second: Any
) -> None:
    """A vector that was on its way has come, or the index cannot be asked any more."""
    await line.book.namespaces.claim("v2", SMALL.model, SMALL.dimension)
    with pytest.raises(errors.ServiceError):
        await line.book.namespaces.release("v2", counting(0, second))
    item = await line.storage.get(line.book.namespaces.key("v2"))
    assert item is not None
    assert (item["model"], "releasing" in item) == (SMALL.model, False)


async def test_who_writes_while_a_namespace_is_released_keeps_it(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = await ready(line.book)
    assert await line.book.gate.check_write(task_id, 1, to(SMALL)) == Answer.GO
    marked, written = asyncio.Event(), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        marked.set()
        await written.wait()

    monkeypatch.setattr(namespaces, "asyncio", types.SimpleNamespace(sleep=sleep))
    releasing = asyncio.create_task(line.book.namespaces.release("v2", empty))
    await marked.wait()
    assert await line.book.gate.check_write(task_id, 1, to(SMALL)) == Answer.GO
    written.set()

    with pytest.raises(errors.Conflict) as refused:
        await releasing
    assert refused.value.reason == "NAMESPACE_IN_USE"
    assert await line.book.namespaces.holds("v2") == SMALL


async def test_another_model_is_refused_while_a_namespace_is_released(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the wait is over a vector of the old model may still come."""
    await line.book.namespaces.claim("v2", TYPO.model, TYPO.dimension)
    task_id = await ready(line.book)
    answers: list[Answer] = []

    async def sleep(_seconds: float) -> None:
        answers.append(await line.book.gate.check_write(task_id, 1, to(SMALL)))

    monkeypatch.setattr(namespaces, "asyncio", types.SimpleNamespace(sleep=sleep))
    await line.book.namespaces.release("v2", empty)

    assert answers == [Answer.BLOCKED]


async def test_a_namespace_that_nobody_wrote_to_cannot_be_released(line: Line, waits: list[float]) -> None:
    with pytest.raises(errors.NotFound) as refused:
        await line.book.namespaces.release("v2", empty)
    assert refused.value.reason == "NAMESPACE_UNCLAIMED"
    await line.book.namespaces.claim("v2", SMALL.model, SMALL.dimension)
    await line.book.namespaces.release("v2", empty)
    with pytest.raises(errors.NotFound):
        await line.book.namespaces.release("v2", empty)
