import uuid
from typing import Any

import pytest

from services.indexer.ledger import finding, shards
from services.indexer.storage import clock
from services.runtime import errors
from tests.support import ledgers


async def partly(line: ledgers.Line, reason: str = "index_refused", **changes: Any) -> str:
    """A task that completed but for two rows, whose shard is rolled up."""
    task_id = await ledgers.scanned(line.book, rows=3, **changes)
    await line.book.shards.open(task_id, 0)
    outcome = shards.Outcome(indexed=1, skipped=0, failed=2, reasons={reason: 2})
    await line.book.closing.settle(task_id, 0, outcome)
    await line.book.closing.seal(task_id, 1, 3)
    return task_id


async def found(line: ledgers.Line, **wanted: Any) -> list[str]:
    page = await line.book.finding.page(finding.Wanted(**wanted))
    assert not page.next_page_token
    return [task["task_id"] for task, _ in page.tasks]


async def test_each_part_of_a_filter_leaves_out_what_is_another() -> None:
    line = ledgers.line()
    old = await partly(line, namespace="a", question_id=1)
    line.time.pass_by(60)
    moment = clock.text(line.book.clock.now())
    new = await partly(line, reason="poison", client="bob", namespace="b", question_id=2)
    status = "partially_completed"

    assert await found(line, status=status) == [new, old]
    assert await found(line, status=status, client="ann") == [old]
    assert await found(line, status=status, since=moment) == [new]
    assert await found(line, status=status, namespace="a") == [old]
    assert await found(line, status=status, question_id=2) == [new]
    assert await found(line, status=status, reason="poison") == [new]
    assert await found(line, status=status, reason="poison", namespace="a") == []
    assert await found(line, status="failed") == []


async def test_a_reason_is_the_tasks_own_or_of_its_rows() -> None:
    line = ledgers.line()
    failed = await ledgers.scanned(line.book)
    await line.book.tasks.fail(failed, "SOURCE_CHANGED", "It changed.")

    assert await found(line, status="failed", reason="SOURCE_CHANGED") == [failed]
    assert await found(line, status="failed", reason="OTHER") == []


async def test_rejected_rows_are_counted_before_their_shard_is_rolled_up() -> None:
    line = ledgers.line()
    task_id = await ledgers.scanned(line.book, rows=3)
    await line.book.shards.open(task_id, 0)
    await line.book.closing.settle(task_id, 0, shards.Outcome(1, 0, 2, reasons={"poison": 2}))
    await line.book.tasks.cancel(task_id)

    page = await line.book.finding.page(finding.Wanted(status="cancelled", reason="poison"))

    assert [(task["task_id"], counts.reasons) for task, counts in page.tasks] == [(task_id, {"poison": 2})]


async def test_a_page_looks_at_so_many_and_goes_on_by_its_token() -> None:
    line = ledgers.line()
    tasks = []
    for number in range(5):
        tasks.append(await partly(line, namespace="even" if number % 2 == 0 else "odd"))
        line.time.pass_by(1)
    wanted = finding.Wanted(status="partially_completed", namespace="even")
    seen: list[str] = []
    token, looks = "", 0
    while looks == 0 or token:
        page = await line.book.finding.page(wanted, token, 2)
        seen += [task["task_id"] for task, _ in page.tasks]
        token, looks = page.next_page_token, looks + 1
    assert (seen, looks) == ([tasks[4], tasks[2], tasks[0]], 3)
    with pytest.raises(errors.InvalidArgument):
        await line.book.finding.page(finding.Wanted(status="failed"), "AAAAAAAA", 2)


async def test_of_named_tasks_those_are_found_that_the_filter_takes_once_each() -> None:
    line = ledgers.line()
    mine = await partly(line)
    theirs = await partly(line, client="bob")
    names = [mine, theirs, mine, str(uuid.uuid4()), "no id at all", "index#client"]

    page = await line.book.finding.among(names, finding.Wanted(client="ann"))

    assert [task["task_id"] for task, _ in page.tasks] == [mine]
