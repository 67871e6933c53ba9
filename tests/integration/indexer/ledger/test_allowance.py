"""What keys use, counted by a real table with callers that really run at once."""

import asyncio

from services.indexer import ledger
from services.indexer.ledger import items
from services.indexer.storage import table
from services.runtime import errors, identity
from tests.support import ledgers

FIVE = identity.KeyAllowance(open_tasks=5)
ROWS = identity.KeyAllowance(rows_per_day=100)


async def test_creates_at_once_take_each_place_once(book: ledger.Ledger) -> None:
    calls = [book.create(ledgers.new_task(limits=FIVE)) for _ in range(20)]
    answers = await asyncio.gather(*calls, return_exceptions=True)

    stored = [answer[0] for answer in answers if isinstance(answer, tuple)]
    refused = [answer for answer in answers if isinstance(answer, errors.ResourceExhausted)]
    assert (len(stored), len(refused)) == (5, 15)

    for task in stored[:2]:
        await book.tasks.cancel(str(task[table.KEY]))
    calls = [book.create(ledgers.new_task(limits=FIVE)) for _ in range(10)]
    again = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, tuple) for answer in again) == 2


async def test_scans_that_end_at_once_never_pass_the_days_rows(book: ledger.Ledger) -> None:
    async def scanning() -> str:
        task, _ = await book.create(ledgers.new_task(limits=ROWS))
        await book.tasks.begin_scan(str(task[table.KEY]), b"")
        return str(task[table.KEY])

    tasks = [await scanning() for _ in range(8)]
    ends = [book.end_scan(task_id, ledgers.scan(30)) for task_id in tasks for _ in range(2)]  # each asked twice
    await asyncio.gather(*ends, return_exceptions=True)

    statuses = [(await book.tasks.get(task_id))["status"] for task_id in tasks]
    assert (statuses.count("processing_chunks"), statuses.count("failed")) == (3, 5)
    task = await book.tasks.get(tasks[statuses.index("processing_chunks")])
    day = items.rows_key("ann", task["rows_day"])
    assert (await book.allowance._table.get(day) or {})["rows"] == 90
