"""Tasks that are no loads, in the ledger: what they looked at, what they came to, and what their turn means."""

import pytest
from vectorline.v1 import job_pb2, ledger_pb2, task_pb2

from services.indexer.ledger import lifecycle, records, servicer, shards, turns
from services.indexer.storage import clock, table
from services.indexer.tasks import messages
from services.runtime import errors, identity
from tests.support import ledgers
from tests.support.ledgers import Line

GRACE_SECONDS = ledgers.DEADLINE_SECONDS + turns.MARGIN_SECONDS
JOB = job_pb2.Job(verify=job_pb2.VerifyRequest(namespace="v2", question_id=232, sample=2))


async def verify(line: Line) -> str:
    return await ledgers.create(line.book, task_type="verify", job=JOB.SerializeToString())


async def looked(line: Line, task_id: str, chunks: int = 0) -> None:
    """It has looked at ten ids, of which three are not as they should be."""
    await line.book.turns.acquire(task_id)
    await line.book.tasks.begin_scan(task_id, b"")
    failed = {"missing": 2, "differing": 1}
    scan = lifecycle.Scan(b"", "plan", 10 + chunks, "", "", (), chunks, indexed=7, failed=failed)
    await line.book.end_scan(task_id, scan)


async def shown(line: Line, task_id: str) -> task_pb2.Task:
    task = await line.book.tasks.get(task_id)
    (counts,) = await line.book.progress([task])
    return messages.message(task, counts, now=clock.parse(task["created_at"]))


async def test_it_ends_as_completed_whatever_it_found_and_says_what(line: Line) -> None:
    task_id = await verify(line)
    await looked(line, task_id)
    result = task_pb2.TaskResult(missing=2, strange=0, differing=1, listed=8)

    await line.book.closing.seal(task_id, 0, 10, result.SerializeToString())

    task = await shown(line, task_id)
    assert task.status == "completed"
    assert (task.progress.total_records, task.progress.processed_records, task.progress.failed_records) == (10, 7, 3)
    assert (task.result.missing, task.result.differing, task.result.listed, task.result.indexed) == (2, 1, 8, 7)
    assert task.result.failed_by_reason == {"missing": 2, "differing": 1}
    assert task.metadata.task_type == "verify"
    assert task.metadata.parameters["sample"] == 2


async def test_what_its_chunks_come_to_is_added(line: Line) -> None:
    task_id = await verify(line)
    await looked(line, task_id, chunks=1)
    await line.book.shards.open(task_id, 0, 1)
    await line.book.closing.settle(task_id, 0, shards.Outcome(0, 0, 1, reasons={"differing": 1}, fence=1))
    await line.book.closing.seal(task_id, 1, 11, b"")

    task = await shown(line, task_id)
    assert task.status == "completed"
    assert task.result.failed_by_reason == {"missing": 2, "differing": 2}
    assert task.progress.failed_records == 4


async def test_progress_never_falls_though_another_driver_begins_anew(line: Line) -> None:
    task_id = await verify(line)
    await line.book.tasks.begin_scan(task_id, b"")
    seen = []
    for done in (0, 400, 100, 700):
        await line.book.tasks.note_scan(task_id, done, 1_000)
        seen.append((await shown(line, task_id)).progress.processed_records)
    assert seen == [0, 400, 400, 700]
    assert (await shown(line, task_id)).progress.total_records == 1_000


async def test_another_request_under_the_same_key_is_refused(line: Line) -> None:
    api = servicer.LedgerServicer(line.book, None)  # type: ignore[arg-type]  # nothing is rejected
    asked = ledger_pb2.CreateTaskRequest(client="ann", task_id="6b0b51c7-014a-4991-8a2d-1d551b974f0d", job=JOB)
    asked.request.data_source, asked.request.request_id = "verify", "key"
    first = await api.CreateTask(asked, None)  # type: ignore[arg-type]  # it looks at no context
    assert first.job == JOB

    # The same one is the same, though another load was the last by then.
    asked.job.last_load, asked.task_id = "a later one", "6b0b51c7-014a-4991-8a2d-1d551b974f0e"
    assert (await api.CreateTask(asked, None)).task_id == first.task_id  # type: ignore[arg-type]  # likewise

    asked.job.verify.sample = 3
    with pytest.raises(errors.AlreadyExists):
        await api.CreateTask(asked, None)  # type: ignore[arg-type]  # likewise


async def over(line: Line, task_id: str) -> None:
    await line.book.tasks.cancel(task_id)
    line.time.pass_by(GRACE_SECONDS + 1)


async def loaded(line: Line) -> str:
    """A load that wrote, and is over."""
    task_id = await ledgers.scanned(line.book)
    await line.book.turns.acquire(task_id)
    await line.book.shards.open(task_id, 0, 1)
    await over(line, task_id)
    return task_id


async def test_after_a_verify_the_load_before_it_is_still_the_last_that_wrote(line: Line) -> None:
    load = await loaded(line)
    for _ in range(2):
        task_id = await verify(line)
        await looked(line, task_id, chunks=1)
        await line.book.shards.open(task_id, 0, 1)
        assert records.record(await line.book.tasks.get(task_id)).after_task_id == load
        assert await line.book.turns.check_latest(load) == 1
        await over(line, task_id)
    assert await line.book.turns.check_latest(load) == 1
    await loaded(line)
    with pytest.raises(errors.Conflict, match="later task"):
        await line.book.turns.check_latest(load)


async def test_a_load_that_is_done_once_more_fails_where_newer_rows_were_written_before_its_turn(line: Line) -> None:
    api = servicer.LedgerServicer(line.book, None)  # type: ignore[arg-type]  # nothing is rejected
    load, asking = await loaded(line), await verify(line)
    await looked(line, asking)
    newer = await ledgers.scanned(line.book)
    await line.book.turns.acquire(newer)
    asked = ledger_pb2.CreateTaskRequest(
        client="ann",
        task_id="6b0b51c7-014a-4991-8a2d-1d551b974f0d",
        asked_by_task_id=asking,
        repeats_task_id=load,
    )
    asked.request.namespace, asked.request.question_id = "v2", 232
    asked.request.data_source, asked.request.request_id = "upload", f"repair:{asking}"
    repeated = await api.CreateTask(asked, None)  # type: ignore[arg-type]  # it looks at no context
    again = await api.CreateTask(asked, None)  # type: ignore[arg-type]  # likewise
    assert again.task_id == repeated.task_id
    await line.book.turns.acquire(repeated.task_id)
    await over(line, asking)
    await line.book.turns.acquire(newer)
    await line.book.shards.open(newer, 0, 3)
    await over(line, newer)

    await line.book.turns.acquire(repeated.task_id)

    task = await line.book.tasks.get(repeated.task_id)
    assert (task["status"], task["error_reason"]) == ("failed", "SUPERSEDED")


async def test_a_load_that_a_job_asks_for_has_the_limits_of_its_key(line: Line) -> None:
    limits = identity.KeyAllowance(tokens_per_day=100, rows_per_day=50)
    asking = await ledgers.create(line.book, limits=limits)
    found = records.limits_of(await line.book.tasks.get(asking))
    assert found == limits
    assert (await line.book.tasks.get(asking))[table.KEY] == asking


async def test_a_namespace_is_claimed_for_what_was_bought_while_the_turn_is_the_tasks(line: Line) -> None:
    task_id = await verify(line)
    fence = (await line.book.turns.acquire(task_id)).fence
    with pytest.raises(errors.Conflict):  # nothing was bought for it
        await line.book.claim(task_id, fence)
    await line.book.shards.open(task_id, 0, fence)
    await looked(line, task_id)
    await line.book.gate.begin(task_id, [0], fence, "small", 2)
    assert await line.book.namespaces.holds("v2") is None
    with pytest.raises(errors.Conflict):
        await line.book.claim(task_id, fence + 1)

    await line.book.claim(task_id, fence)

    held = await line.book.namespaces.holds("v2")
    assert held is not None
    assert (held.model, held.dimension) == ("small", 2)
    await line.book.tasks.cancel(task_id)
    with pytest.raises(errors.Conflict):
        await line.book.claim(task_id, fence)
