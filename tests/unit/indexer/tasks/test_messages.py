"""A task as its callers see it."""

import asyncio
import uuid

import pytest
from vectorline.v1 import ingest_pb2, ledger_pb2, task_pb2, warning_pb2

from services.indexer import settings
from services.indexer.ledger import gate, records
from services.indexer.storage import table
from services.indexer.tasks import messages, stalls
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line

REQUEST = ingest_pb2.ProcessRequest(
    data_source="s3_csv", s3_key="in/a.csv", question_id=232, namespace="v2", request_id="secret-key", chunk_size=1000
)


async def stored(line: Line, rows: int = 1000, chunks: int = 4) -> str:
    new = records.new_task(ledger_pb2.CreateTaskRequest(client="ann", request=REQUEST, task_id=str(uuid.uuid4())))
    task, _ = await line.book.creation.create(new)
    task_id = str(task["task_id"])
    source = ledger_pb2.PinnedSource(uri="s3://b/in/a.csv", size_bytes=77, display_name="a.csv")
    await line.book.tasks.begin_scan(task_id, source.SerializeToString())
    scan = ledgers.scan(rows, chunks)
    await line.book.tasks.end_scan(task_id, scan)
    return task_id


async def seen(line: Line, task_id: str) -> task_pb2.Task:
    tasks = task_servicer.TaskServicer(line.book, settings.LedgerSettings(stall_seconds=120.0))
    (message,) = await tasks.messages([await line.book.tasks.get(task_id)])
    return message


async def test_a_new_task_shows_what_was_asked_but_not_its_idempotency_key(line: Line) -> None:
    new = records.new_task(ledger_pb2.CreateTaskRequest(client="ann", request=REQUEST, task_id=str(uuid.uuid4())))
    item, _ = await line.book.creation.create(new)
    task = await seen(line, item["task_id"])
    assert (task.status, task.state) == ("pending", task_pb2.TASK_STATE_PENDING)
    assert dict(task.metadata.parameters) == {
        "data_source": "s3_csv",
        "s3_key": "in/a.csv",
        "question_id": 232.0,
        "namespace": "v2",
        "chunk_size": 1000.0,
    }
    assert (task.metadata.task_type, task.metadata.namespace, task.metadata.client) == ("s3_csv", "v2", "ann")
    assert task.metadata.source == "in/a.csv"
    assert task.progress.percentage == 0
    for absent in ("started_at", "completed_at", "result", "stalled_since", "error"):
        assert not task.HasField(absent)


async def test_what_was_found_out_about_the_source_is_told(line: Line) -> None:
    task_id = await ledgers.create(line.book)
    await line.book.tasks.begin_scan(task_id, b"")
    warning = warning_pb2.Warning(code="blank_rows", message="7 rows are blank.", row=3, count=7)
    found = ledger_pb2.EndScanRequest(
        task_id=task_id,
        plan_uri="s3://b/p",
        encoding="cp1252",
        encoding_guessed=True,
        quoting="none",
        warnings=[warning],
    )
    await line.book.end_scan(task_id, records.scan(found))
    task = await seen(line, task_id)
    assert list(task.warnings) == [warning]
    assert (task.metadata.encoding, task.metadata.encoding_guessed, task.metadata.quoting) == ("cp1252", True, "none")


async def test_progress_while_chunks_are_settled(line: Line) -> None:
    task_id = await stored(line)
    await line.book.shards.open(task_id, 0)
    line.time.pass_by(10)
    await line.book.closing.settle(task_id, 1, ledgers.good(200, skipped=50))
    task = await seen(line, task_id)
    assert task.progress == task_pb2.TaskProgress(
        total_records=1000,
        processed_records=200,
        skipped_records=50,
        chunks_total=4,
        chunks_completed=1,
        chunks_processing=3,
        current_chunk=1,
        percentage=25.0,
    )
    left = task.metadata.estimated_completion_time.ToSeconds() - int(line.time.now)
    assert left == 30  # 750 rows at 25 a second
    assert task.metadata.source == "a.csv"
    assert task.metadata.source_bytes == 77
    assert list(task.metadata.columns) == ["id", "formatted_text"]
    assert not task.HasField("result")


async def test_a_finished_task_adds_up(line: Line) -> None:
    task_id = await stored(line, rows=10, chunks=2)
    await line.book.shards.open(task_id, 0)
    await line.book.closing.settle(task_id, 0, ledgers.good(4, skipped=1))
    await line.book.closing.settle(task_id, 1, ledgers.bad(5))
    line.time.pass_by(2)
    await line.book.closing.seal(task_id, 2, 10)
    task = await seen(line, task_id)
    assert task.status == "partially_completed"
    assert task.result == task_pb2.TaskResult(
        indexed=4, skipped=1, failed=5, duration_seconds=2.0, failed_by_reason={"empty_text": 5}
    )
    assert task.progress.percentage == 100
    assert task.progress.chunks_failed == 1
    assert task.progress.chunks_processing == 0
    assert task.progress.unread_records == 0
    assert task.HasField("completed_at")


async def test_a_cancelled_task_tells_what_was_never_read(line: Line) -> None:
    task_id = await stored(line)
    await line.book.shards.open(task_id, 0)
    await line.book.tasks.cancel(task_id)
    await line.book.closing.settle(task_id, 0, ledgers.good(250))
    task = await seen(line, task_id)
    assert (task.progress.processed_records, task.progress.unread_records) == (250, 750)
    assert task.result.indexed == 250


async def test_a_task_without_rows_is_whole_when_it_completes(line: Line) -> None:
    task_id = await stored(line, rows=0, chunks=0)
    await line.book.closing.seal(task_id, 0, 0)
    task = await seen(line, task_id)
    assert (task.status, task.progress.percentage) == ("completed", 100.0)


async def test_the_percentage_is_100_only_at_the_end(line: Line) -> None:
    task_id = await stored(line, rows=1_000_000)
    await line.book.shards.open(task_id, 0)
    await line.book.closing.settle(task_id, 0, ledgers.good(999_999))
    assert (await seen(line, task_id)).progress.percentage == 99.99


async def test_it_stalls_from_its_last_settlement_and_no_longer_after_the_next(line: Line) -> None:
    task_id = await stored(line)
    await line.book.shards.open(task_id, 0)
    line.time.pass_by(100)
    await line.book.closing.settle(task_id, 0, ledgers.good())
    settled = line.time.now
    line.time.pass_by(119)
    assert not (await seen(line, task_id)).HasField("stalled_since")
    line.time.pass_by(2)
    task = await seen(line, task_id)
    assert task.stalled_since.ToSeconds() == int(settled)
    assert not task.metadata.HasField("estimated_completion_time")
    await line.book.closing.settle(task_id, 1, ledgers.good())
    assert not (await seen(line, task_id)).HasField("stalled_since")


async def test_a_task_that_never_settled_stalls_from_its_scan_on(line: Line) -> None:
    task_id = await stored(line)
    scanned = line.time.now
    line.time.pass_by(121)
    assert (await seen(line, task_id)).stalled_since.ToSeconds() == int(scanned)
    await line.book.tasks.block(task_id, "ACCOUNT_REFUSED", "Pay.")
    task = await seen(line, task_id)
    assert not task.HasField("stalled_since")  # it waits for a person, and says so
    assert (task.error_reason, task.error) == ("ACCOUNT_REFUSED", "Pay.")
    await line.book.resume(task_id)
    assert not (await seen(line, task_id)).HasField("stalled_since")


async def test_only_the_estimate_moving_is_no_change(line: Line) -> None:
    task_id = await stored(line)
    await line.book.shards.open(task_id, 0)
    line.time.pass_by(10)
    await line.book.closing.settle(task_id, 0, ledgers.good(5))
    before = await seen(line, task_id)
    line.time.pass_by(10)
    after = await seen(line, task_id)
    assert before != after
    assert messages.unchanged(before, after)


async def test_a_task_that_waits_for_its_turn_says_for_whom(line: Line) -> None:
    holder, mine, theirs = [await ledgers.create(line.book, client=client) for client in ("ann", "ann", "bob")]
    for task_id in (holder, mine, theirs):
        await line.book.turns.acquire(task_id)
    queued = line.time.now
    assert not (await seen(line, mine)).HasField("stalled_since")
    line.time.pass_by(121)
    task = await seen(line, mine)
    assert task.stalled_since.ToSeconds() == int(queued)
    assert f"task {holder} of the same question" in task.stalled_reason
    told = (await seen(line, theirs)).stalled_reason
    assert "a task of another key" in told
    assert holder not in told
    assert (await seen(line, holder)).stalled_reason == stalls.SENTENCES[stalls.Cause.SPLITTER]


async def test_a_task_that_nobody_took_up_says_so(line: Line) -> None:
    task_id = await ledgers.create(line.book)
    line.time.pass_by(121)
    assert (await seen(line, task_id)).stalled_reason == stalls.SENTENCES[stalls.Cause.INGEST]


async def test_a_scan_moves_as_long_as_its_ingest_says_so(line: Line) -> None:
    task_id = await ledgers.create(line.book)
    await line.book.tasks.begin_scan(task_id, b"")
    for _ in range(30):  # a large file
        line.time.pass_by(119)
        assert not (await seen(line, task_id)).HasField("stalled_since")
        await line.book.tasks.note_scan(task_id)
    told = line.time.now
    line.time.pass_by(121)
    task = await seen(line, task_id)
    assert (task.stalled_since.ToSeconds(), task.stalled_reason) == (int(told), stalls.SENTENCES[stalls.Cause.SCAN])
    await line.book.tasks.cancel(task_id)
    await line.book.tasks.note_scan(task_id)  # of an ingest that does not know yet
    assert not (await seen(line, task_id)).HasField("stalled_since")


async def test_a_scan_whose_driver_says_why_it_waits_stalls_for_that(line: Line) -> None:
    task_id = await ledgers.create(line.book)
    await line.book.tasks.begin_scan(task_id, b"")
    line.time.pass_by(60)
    await line.book.tasks.note_wait(task_id, "S3 does not answer.")
    noted = line.time.now
    line.time.pass_by(121)
    task = await seen(line, task_id)
    assert (task.stalled_since.ToSeconds(), task.stalled_reason) == (
        int(noted),
        "Its driver waits: S3 does not answer.",
    )
    await line.book.tasks.note_wait(task_id, "")
    assert not (await seen(line, task_id)).HasField("stalled_since")
    await line.book.tasks.cancel(task_id)
    await line.book.tasks.note_wait(task_id, "too late")
    assert "wait" not in line.storage.items[task_id]


async def test_chunks_that_do_not_settle_say_what_is_known(line: Line) -> None:
    task_id = await stored(line)
    await line.book.turns.acquire(task_id)
    line.time.pass_by(121)
    assert (await seen(line, task_id)).stalled_reason == stalls.SENTENCES[stalls.Cause.EMBEDDERS]
    line.circuit[0] = True
    assert (await seen(line, task_id)).stalled_reason == stalls.SENTENCES[stalls.Cause.PINECONE]
    line.book.circuit_why = lambda: "[401] Invalid API Key"
    assert (await seen(line, task_id)).stalled_reason.endswith("Its last words: [401] Invalid API Key")


async def test_chunks_that_are_bought_in_vain_say_what_the_provider_answers(line: Line) -> None:
    task_id = await stored(line)
    await line.book.turns.acquire(task_id)
    fence = (await line.book.tasks.get(task_id))["fence"]
    await line.book.shards.open(task_id, 0)

    async def asked(words: str) -> str:
        line.time.pass_by(16)
        (answer,) = await line.book.gate.begin(task_id, [0], fence, "m", 4, waits=words)
        assert answer is gate.Answer.GO
        return (await seen(line, task_id)).stalled_reason

    line.time.pass_by(121)
    assert await asked("") == stalls.SENTENCES[stalls.Cause.EMBEDDERS]
    assert (await asked("HTTP 503")).startswith("Nothing is bought for it now.")
    assert (await asked("HTTP 502")).endswith("HTTP 502")
    assert (await asked("")).endswith("HTTP 502")  # of another embedder
    line.time.pass_by(stalls.REFUSAL_SECONDS)
    assert (await seen(line, task_id)).stalled_reason == stalls.SENTENCES[stalls.Cause.EMBEDDERS]


async def test_what_the_provider_answers_is_not_written_with_every_question(line: Line) -> None:
    task_id = await stored(line)
    await line.book.turns.acquire(task_id)
    fence = (await line.book.tasks.get(task_id))["fence"]
    await line.book.shards.open(task_id, 0)
    for words in ("first", "second"):
        await line.book.gate.begin(task_id, [0], fence, "m", 4, waits=words)
    task = await line.book.tasks.get(task_id)
    assert task["refusal"] == "first"
    await line.book.tasks.cancel(task_id)
    line.time.pass_by(60)
    await line.book.tasks.note_refusal(task_id, "too late", task)
    assert line.storage.items[task_id]["refusal"] == "first"


@pytest.mark.parametrize("breaks", [errors.Unavailable("throttled"), table.Invalid("too large"), None])
async def test_a_note_that_cannot_be_written_keeps_nobody_from_buying(
    line: Line, breaks: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await stored(line)
    await line.book.turns.acquire(task_id)
    fence = (await line.book.tasks.get(task_id))["fence"]
    await line.book.shards.open(task_id, 0)
    await line.book.gate.begin(task_id, [0], fence, "m", 4)

    async def broken(_write: table.Update) -> None:
        if breaks is not None:
            raise breaks
        await asyncio.Event().wait()

    monkeypatch.setattr(line.storage, "update", broken)
    assert await line.book.gate.begin(task_id, [0], fence, "m", 4, waits="HTTP 503") == [gate.Answer.GO]
