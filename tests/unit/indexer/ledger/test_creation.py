"""One task for each (client, request_id), whatever breaks."""

import random
import uuid

import hypothesis
import pytest
from hypothesis import strategies

from services.indexer.ledger import items
from services.indexer.storage import memory, table
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line


async def test_a_new_task_is_pending_and_listed(line: Line) -> None:
    task, existed = await line.book.creation.create(ledgers.new_task())
    assert not existed
    assert task["status"] == "pending"
    assert (task["listing"], task["client_listing"]) == ("open", "ann#open")
    assert task[table.ALL.sort].endswith(f"Z#{task[table.KEY]}")


async def test_the_same_key_answers_the_same_task(line: Line) -> None:
    first, _ = await line.book.creation.create(ledgers.new_task(request_id="k", body=b"x"))
    again, existed = await line.book.creation.create(ledgers.new_task(request_id="k", body=b"x"))
    assert existed
    assert again == first


async def test_the_same_key_with_another_body_is_refused(line: Line) -> None:
    await line.book.creation.create(ledgers.new_task(request_id="k", body=b"x"))
    with pytest.raises(errors.AlreadyExists) as caught:
        await line.book.creation.create(ledgers.new_task(request_id="k", body=b"y"))
    assert caught.value.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_keys_of_two_clients_do_not_meet(line: Line) -> None:
    one = await ledgers.create(line.book, client="a#b", request_id="c")
    two = await ledgers.create(line.book, client="a", request_id="b#c")
    assert one != two


async def test_without_a_key_each_call_makes_a_task_unless_it_repeats_its_id(line: Line) -> None:
    assert await ledgers.create(line.book) != await ledgers.create(line.book)
    task_id = str(uuid.uuid4())
    _, first = await line.book.creation.create(ledgers.new_task(task_id=task_id, body=b"x"))
    _, again = await line.book.creation.create(ledgers.new_task(task_id=task_id, body=b"x"))
    assert (first, again) == (False, True)
    with pytest.raises(errors.AlreadyExists) as caught:
        await line.book.creation.create(ledgers.new_task(task_id=task_id, client="bob", body=b"x"))
    assert caught.value.reason == "TASK_ID_TAKEN"


@pytest.mark.parametrize("task_id", ["turn#x", "1", "9D0745A2-FCA5-4C9D-ABED-DD3DC60F0FAE"])
async def test_an_id_is_a_uuid(line: Line, task_id: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await ledgers.create(line.book, task_id=task_id)
    assert caught.value.violations[0].field == "task_id"


@pytest.mark.parametrize("task_id", ["", "a#shard#0", "x" * 65, "request#ann#k"])
async def test_ids_that_cannot_be_tasks_are_not_found(line: Line, task_id: str) -> None:
    with pytest.raises(errors.NotFound):
        await line.book.tasks.get(task_id)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(seed=strategies.integers(0, 2**32), crash_every=strategies.sampled_from([0, 4]))
def test_identical_requests_at_once_make_one_task_and_no_orphan(seed: int, crash_every: int) -> None:
    chance = random.Random(seed)
    storage = memory.MemoryTable(ledgers.pause)
    line = ledgers.line(storage)
    answers: list[tuple[str, bool]] = []

    async def call() -> None:
        task, existed = await line.book.creation.create(ledgers.new_task(request_id="k", body=b"x"))
        answers.append((task[table.KEY], existed))

    scheduler = ledgers.Scheduler(chance.randrange)
    for _ in range(4):
        scheduler.add(call())
    scheduler.run(crash_every=crash_every)
    ledgers.at_once(call())
    tasks = [item for item in storage.items.values() if items.is_task(item)]
    assert len(tasks) == 1
    assert {task_id for task_id, _ in answers} == {tasks[0][table.KEY]}
    assert sum(not existed for _, existed in answers) <= 1
