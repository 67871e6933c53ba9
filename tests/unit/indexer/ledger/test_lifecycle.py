"""Statuses only go where the table of the design lets them."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.indexer import ledger
from services.indexer.ledger import items
from services.indexer.ledger.items import Status
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line

Step = Callable[[ledger.Ledger, str], Awaitable[Any]]

STEPS: dict[str, Step] = {
    "begin_scan": lambda book, task: book.tasks.begin_scan(task, b"pin"),
    "end_scan": lambda book, task: book.tasks.end_scan(task, ledgers.scan()),
    "fail": lambda book, task: book.tasks.fail(task, "R", "m"),
    "block": lambda book, task: book.tasks.block(task, "R", "m"),
    "resume": lambda book, task: book.tasks.resume(task),
    "cancel": lambda book, task: book.tasks.cancel(task),
}
BECOMES = {
    ("pending", "begin_scan"): "processing",
    ("queued", "begin_scan"): "processing",
    ("processing", "end_scan"): "processing_chunks",
    ("blocked", "resume"): "queued",
    **{(str(status), "fail"): "failed" for status in items.OPEN},
    **{(str(status), "block"): "blocked" for status in items.OPEN},
    **{(str(status), "cancel"): "cancelled" for status in (*items.OPEN, Status.BLOCKED)},
}


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("step", STEPS)
async def test_a_step_changes_only_the_statuses_it_may(line: Line, status: Status, step: str) -> None:
    task_id = await ledgers.create(line.book)
    line.storage.items[task_id].update({"status": str(status), **items.listed("ann", status)})
    with contextlib.suppress(errors.Conflict):
        await STEPS[step](line.book, task_id)
    expected = BECOMES.get((str(status), step), str(status))
    item = line.storage.items[task_id]
    assert item["status"] == expected
    assert {name: item[name] for name in ("listing", "client_listing")} == items.listed("ann", Status(expected))


async def test_a_resumed_task_that_was_scanned_goes_on_with_its_chunks_without_its_fence(line: Line) -> None:
    task_id = await ledgers.scanned(line.book)
    await line.book.turns.acquire(task_id)
    await line.book.tasks.block(task_id, "R", "m")
    task = await line.book.tasks.resume(task_id)
    assert task["status"] == "processing_chunks"
    assert not {"fence", "error", "error_reason"} & task.keys()


async def test_the_first_scan_that_ends_counts(line: Line) -> None:
    task_id = await ledgers.scanned(line.book, rows=7)
    task, _ = await line.book.tasks.end_scan(task_id, ledgers.scan(rows=9))
    assert task["rows_total"] == 7


async def test_a_scan_begun_again_keeps_when_it_first_began(line: Line) -> None:
    task_id = await ledgers.create(line.book)
    first = await line.book.tasks.begin_scan(task_id, b"one")
    line.time.pass_by(5)
    again = await line.book.tasks.begin_scan(task_id, b"two")
    assert again["started_at"] == first["started_at"]
    assert again["source"] == b"two"


async def test_a_finished_task_cannot_be_cancelled_and_a_scan_cannot_end_before_it_began(line: Line) -> None:
    task_id = await ledgers.create(line.book)
    with pytest.raises(errors.Conflict) as caught:
        await line.book.tasks.end_scan(task_id, ledgers.scan())
    assert caught.value.reason == "WRONG_STATUS"
    await line.book.tasks.cancel(task_id)
    with pytest.raises(errors.Conflict) as caught:
        await line.book.tasks.cancel(task_id)
    assert caught.value.reason == "TASK_FINISHED"


@pytest.mark.parametrize("step", STEPS)
async def test_an_unknown_task_is_not_found_and_not_made(line: Line, step: str) -> None:
    with pytest.raises(errors.NotFound):
        await STEPS[step](line.book, "nobody")
    assert line.storage.items == {}
