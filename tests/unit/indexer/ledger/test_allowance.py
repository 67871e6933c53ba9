"""Open tasks and rows a day of one key: never one too many, nothing lost by a crash, nobody else's business."""

import random
from typing import Any

import pytest

from services.indexer.ledger import allowance, creation, items
from services.indexer.storage import memory, table
from services.runtime import errors, identity
from tests.support import ledgers
from tests.support.ledgers import Line

THREE = identity.KeyAllowance(open_tasks=3)
ROWS = identity.KeyAllowance(rows_per_day=100)


async def create(line: Line, **changes: Any) -> str:
    task, _ = await line.book.create(ledgers.new_task(**changes))
    return str(task[table.KEY])


async def scanning(line: Line, limits: identity.KeyAllowance, **changes: Any) -> str:
    task_id = await create(line, limits=limits, **changes)
    await line.book.tasks.begin_scan(task_id, b"")
    return task_id


async def test_a_key_without_limits_leaves_no_trace(line: Line) -> None:
    task_id = await ledgers.scanned(line.book)
    await line.book.end_scan(task_id, ledgers.scan(5))

    assert set(line.storage.items) == {task_id}


async def test_one_task_too_many_is_refused_until_one_is_over(line: Line) -> None:
    tasks = [await create(line, limits=THREE) for _ in range(3)]
    with pytest.raises(errors.ResourceExhausted) as refused:
        await create(line, limits=THREE)
    assert refused.value.reason == "OPEN_TASKS_QUOTA_EXCEEDED"
    assert refused.value.retry_seconds == allowance.OPEN_TASKS_RETRY_SECONDS

    await create(line, client="bob", limits=THREE)
    await line.book.tasks.cancel(tasks[1])
    await create(line, limits=THREE)
    with pytest.raises(errors.ResourceExhausted):
        await create(line, limits=THREE)


async def test_the_same_request_asked_again_needs_no_room(line: Line) -> None:
    one = identity.KeyAllowance(open_tasks=1)
    first = await create(line, limits=one, request_id="r")

    assert await create(line, limits=one, request_id="r") == first
    assert await create(line, limits=one, task_id=first, request_id="r") == first
    with pytest.raises(errors.AlreadyExists):
        await create(line, limits=one, request_id="r", body=b"other")
    assert line.storage.items[items.slots_key("ann")]["n"] == 1


async def test_a_place_whose_task_was_never_stored_is_free_again_after_a_while(line: Line) -> None:
    one = identity.KeyAllowance(open_tasks=1)
    await line.book.allowance.take("ann", "never-stored", one)
    with pytest.raises(errors.ResourceExhausted):
        await create(line, limits=one)

    line.time.pass_by(allowance.STORING_SECONDS + 1)
    await create(line, limits=one)


async def test_a_refused_task_gives_its_place_back(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    async def taken(_new: creation.NewTask) -> Any:
        raise errors.AlreadyExists("This task id is taken.", reason="TASK_ID_TAKEN")  # in this moment, by another

    monkeypatch.setattr(line.book.creation, "create", taken)
    with pytest.raises(errors.AlreadyExists):
        await create(line, limits=THREE)

    assert line.storage.items[items.slots_key("ann")]["n"] == 0


async def test_a_task_without_a_name_of_its_own_takes_no_place(line: Line) -> None:
    with pytest.raises(errors.InvalidArgument):
        await create(line, limits=THREE, task_id="no-uuid")

    assert items.slots_key("ann") not in line.storage.items


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("crash_every", [0, 15])
def test_calls_at_once_never_take_more_places_than_there_are(seed: int, crash_every: int) -> None:
    storage = memory.MemoryTable(ledgers.pause)
    line = ledgers.line(storage)
    chance = random.Random(seed)
    scheduler = ledgers.Scheduler(chance.randrange)
    stored: list[str] = []

    async def caller() -> None:
        try:
            task_id = await create(line, limits=THREE)
            stored.append(task_id)
            if chance.randrange(2):
                await line.book.tasks.cancel(task_id)
        except errors.ResourceExhausted:
            pass

    def check() -> None:
        unfinished = [item for item in storage.items.values() if item.get("status") in items.OPEN]
        assert len(unfinished) <= THREE.open_tasks
        slots = storage.items.get(items.slots_key("ann"), {"n": 0, "t": {}})
        assert slots["n"] == len(slots["t"]) <= THREE.open_tasks

    for _ in range(8):
        scheduler.add(caller())
    scheduler.run(after_step=check, crash_every=crash_every)

    assert crash_every or len(stored) >= THREE.open_tasks


async def test_a_scan_that_passes_the_days_rows_fails_by_name_and_counts_nothing(line: Line) -> None:
    small, large = await scanning(line, ROWS), await scanning(line, ROWS)

    assert (await line.book.end_scan(small, ledgers.scan(60)))["status"] == "processing_chunks"
    with pytest.raises(errors.Conflict) as refused:
        await line.book.end_scan(large, ledgers.scan(41))

    failed = await line.book.tasks.get(large)
    assert refused.value.reason == "ROWS_QUOTA_EXCEEDED"
    assert (failed["status"], failed["error_reason"]) == ("failed", "ROWS_QUOTA_EXCEEDED")
    last = await scanning(line, ROWS)
    assert (await line.book.end_scan(last, ledgers.scan(40)))["status"] == "processing_chunks"


async def test_rows_are_counted_once_however_often_the_scan_ends(line: Line) -> None:
    task_id = await scanning(line, ROWS)
    task = await line.book.tasks.get(task_id)

    for _ in range(3):  # what was read before the first count
        assert await line.book.allowance.count_rows(task, 60)
    await line.book.end_scan(task_id, ledgers.scan(60))
    await line.book.end_scan(task_id, ledgers.scan(60))

    assert line.storage.items[items.rows_key("ann", "2027-01-15")]["rows"] == 60


async def test_a_used_up_day_refuses_new_tasks_until_midnight(line: Line) -> None:
    await line.book.end_scan(await scanning(line, ROWS), ledgers.scan(100))
    for ask in (create(line, limits=ROWS), line.book.allowance.check("ann", ROWS)):
        with pytest.raises(errors.ResourceExhausted) as refused:
            await ask
        assert refused.value.reason == "ROWS_QUOTA_EXCEEDED"
        assert refused.value.retry_seconds == 57_600  # START is at 08:00 UTC

    line.time.pass_by(57_600)
    await create(line, limits=ROWS)


async def test_an_upload_is_told_before_its_body_and_its_repetition_is_not(line: Line) -> None:
    one = identity.KeyAllowance(open_tasks=1)
    await line.book.allowance.check("ann", one)
    task_id = await create(line, limits=one, request_id="r")

    with pytest.raises(errors.ResourceExhausted):
        await line.book.allowance.check("ann", one)
    assert await line.book.creation.known("ann", "r")
    assert not await line.book.creation.known("ann", "")
    await line.book.tasks.cancel(task_id)
    await line.book.allowance.check("ann", one)
