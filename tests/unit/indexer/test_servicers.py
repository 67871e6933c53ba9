"""RPC in, ledger out: an in-process gRPC server over a ledger in memory, with the line's own interceptors."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from vectorline.v1 import chunk_pb2, indexer_pb2, indexer_pb2_grpc, ingest_pb2, ledger_pb2, ledger_pb2_grpc

from services.indexer import servicer, settings
from services.indexer.ledger import servicer as ledger_servicer
from services.indexer.storage import rejects
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors, identity
from services.runtime.interceptors import failures
from tests.support import ledgers
from tests.support.ledgers import Line

CALLER = identity.Caller("ann", frozenset({"read", "ingest"}))
ADMIN = identity.Caller("root", frozenset({"read", "admin"}))


class Tasks(task_servicer.TaskServicer, indexer_pb2_grpc.IndexerServiceServicer):
    """The task half alone."""

    async def IndexChunk(self, request_iterator: Any, context: Any) -> Any:
        raise NotImplementedError

    async def Query(self, request: Any, context: Any) -> Any:
        raise NotImplementedError


class As(grpc.aio.ServerInterceptor):
    """Binds the caller that the test chose, in place of the keys."""

    def __init__(self) -> None:
        self.caller = CALLER

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        identity.bind(self.caller)
        return await continuation(details)


class Store(rejects.RejectStore):
    """Rejects in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, list[chunk_pb2.Reject]] = {}

    async def read(self, key: str) -> list[chunk_pb2.Reject]:
        return self.kept[key]


class Served:
    """What the tests call."""

    def __init__(
        self, line: Line, port: int, channel: grpc.aio.Channel, door: As, store: Store, api: task_servicer.TaskServicer
    ) -> None:
        self.line = line
        self.api = api
        self.port = port
        self.door = door
        self.store = store
        self.tasks: Any = indexer_pb2_grpc.IndexerServiceStub(channel)
        self.ledger: Any = ledger_pb2_grpc.LedgerServiceStub(channel)


@pytest.fixture
async def served(line: Line) -> AsyncIterator[Served]:
    door, store = As(), Store()
    server = grpc.aio.server(interceptors=[failures.Failures(), door])
    rules = settings.LedgerSettings(watch_poll_seconds=0.01, watch_beat_seconds=0.05)
    api = Tasks(line.book, rules)
    indexer_pb2_grpc.add_IndexerServiceServicer_to_server(api, server)
    ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger_servicer.LedgerServicer(line.book, store), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Served(line, port, channel, door, store, api)
    await server.stop(None)


@contextlib.contextmanager
def refused(code: grpc.StatusCode, *words: str) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert caught.value.code() == code
    details = str(dict(caught.value.trailing_metadata() or ()))
    for word in words:
        assert word in f"{caught.value.details()} {details}"


def creation(**changes: Any) -> ledger_pb2.CreateTaskRequest:
    request = ingest_pb2.ProcessRequest(data_source="s3_csv", s3_key="a.csv", question_id=232, namespace="v2")
    task_id = changes.pop("task_id", str(uuid.uuid4()))
    return ledger_pb2.CreateTaskRequest(
        client=changes.pop("client", "ann"), request=request, task_id=task_id, **changes
    )


async def test_a_task_goes_from_create_to_completed_through_the_service(served: Served) -> None:
    call = served.ledger
    record = await call.CreateTask(creation())
    task = {"task_id": record.task_id}
    assert (record.status, record.client, record.existed) == ("pending", "ann", False)
    turn = await call.AcquireTurn(ledger_pb2.AcquireTurnRequest(**task))
    assert (turn.held, turn.fence, turn.holder_task_id, turn.status) == (True, 1, record.task_id, "queued")
    source = ledger_pb2.PinnedSource(uri="s3://b/a.csv", version_id="1")
    record = await call.BeginScan(ledger_pb2.BeginScanRequest(**task, source=source))
    assert (record.status, record.source.version_id, record.fence) == ("processing", "1", 1)
    scan = ledger_pb2.EndScanRequest(**task, source=source, plan_uri="s3://b/p", rows_total=3, chunks_total=2)
    record = await call.EndScan(scan)
    assert (record.status, record.plan_uri, record.rows_total) == ("processing_chunks", "s3://b/p", 3)
    assert not (await call.GetShard(ledger_pb2.GetShardRequest(**task, shard=0))).exists
    await call.OpenShard(ledger_pb2.OpenShardRequest(**task, shard=0))
    asked = ledger_pb2.BeginChunkRequest(**task, chunk=0, fence=1, model="m", dimension=3)
    assert (await call.BeginChunk(asked)).gate == ledger_pb2.GATE_GO
    assert not (await call.BeginChunk(asked)).also
    await served.line.book.closing.settle(record.task_id, 0, ledgers.good(1))
    failed = ledger_pb2.FailChunkRequest(**task, chunk=1, fence=1, rows=2, first_row=2, reason="poison")
    assert (await call.FailChunk(failed)).gate == ledger_pb2.GATE_GO
    assert (await call.FailChunk(failed)).gate == ledger_pb2.GATE_SETTLED
    asked.also.extend([2, 1, 300])  # one that is settled, and one in a shard that nobody opened
    begun = await call.BeginChunk(asked)
    assert begun.gate == ledger_pb2.GATE_SETTLED
    assert list(begun.also) == [ledger_pb2.GATE_GO, ledger_pb2.GATE_SETTLED, ledger_pb2.GATE_STALE]
    shard = await call.GetShard(ledger_pb2.GetShardRequest(**task, shard=0))
    assert list(shard.settled_chunks) == [0, 1]
    listed = await call.ListOpenTasks(ledger_pb2.ListOpenTasksRequest())
    assert [one.task_id for one in listed.tasks] == [record.task_id]
    record = await call.SealTask(ledger_pb2.SealTaskRequest(**task, chunks_total=2, rows_total=3))
    assert (record.status, record.sealed, record.chunks_total) == ("partially_completed", True, 2)
    seen = await served.tasks.GetTask(indexer_pb2.GetTaskRequest(**task))
    assert dict(seen.result.failed_by_reason) == {"poison": 2}
    assert (await call.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(**task))).status == "partially_completed"


async def test_block_list_resume_fail(served: Served) -> None:
    call = served.ledger
    record = await call.CreateTask(creation())
    task = {"task_id": record.task_id}
    record = await call.BlockTask(ledger_pb2.BlockTaskRequest(**task, reason="ACCOUNT_REFUSED", message="Pay."))
    assert (record.status, record.error_reason, record.error) == ("blocked", "ACCOUNT_REFUSED", "Pay.")
    blocked = await call.ListBlockedTasks(ledger_pb2.ListBlockedTasksRequest(reason="ACCOUNT_REFUSED"))
    assert list(blocked.task_ids) == [record.task_id]
    assert (await call.ResumeTask(ledger_pb2.ResumeTaskRequest(**task))).status == "queued"
    record = await call.FailTask(ledger_pb2.FailTaskRequest(**task, reason="SOURCE_NOT_FOUND", message="Gone."))
    assert (record.status, record.error_reason) == ("failed", "SOURCE_NOT_FOUND")
    assert (await call.BlockTask(ledger_pb2.BlockTaskRequest(**task, reason="R", message="m"))).status == "failed"


async def test_an_idempotency_key_covers_the_request_but_for_itself(served: Served) -> None:
    one = creation()
    one.request.request_id = "k"
    first = await served.ledger.CreateTask(one)
    again = await served.ledger.CreateTask(one)
    assert (again.task_id, again.existed) == (first.task_id, True)
    one.request.namespace = "v3"
    with refused(grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED"):
        await served.ledger.CreateTask(one)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "client"):
        await served.ledger.CreateTask(creation(client=""))


async def test_a_task_has_a_name_before_it_is_stored_and_a_call_whose_answer_was_lost_finds_it(served: Served) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "task_id"):
        await served.ledger.CreateTask(creation(task_id=""))
    asked = creation()
    first = await served.ledger.CreateTask(asked)
    again = await served.ledger.CreateTask(asked)
    assert (again.task_id, again.existed) == (first.task_id, True)


async def test_a_request_that_an_item_has_no_room_for_is_the_callers_error(served: Served) -> None:
    asked = creation()
    asked.request.metadata_columns.extend(f"a column with the number {number}" for number in range(2_400))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "65536", "metadata_columns"):
        await served.ledger.CreateTask(asked)
    del asked.request.metadata_columns[1_900:]
    await served.ledger.CreateTask(asked)


async def test_rejects_are_read_in_the_order_of_chunks_and_in_parts(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_servicer, "REJECTS_MESSAGE_BYTES", 10)
    book = served.line.book
    task_id = await ledgers.scanned(book)
    await book.turns.acquire(task_id)
    await book.shards.open(task_id, 0)
    rows = [chunk_pb2.Reject(row_number=number, reason="empty_text", message="m") for number in (1, 2)]
    key = f"rejects/{task_id}/10-abc.jsonl"
    served.store.kept[key] = rows
    outcome = ledgers.shards.Outcome(0, 0, 2, {"empty_text": 2}, rejects_key=key)
    await book.closing.settle(task_id, 10, outcome)
    await book.closing.settle(task_id, 2, ledgers.good())
    # Only the token is kept: the rest follows from task and chunk, and a shard has 256 of them.
    outcomes = served.line.storage.items[f"{task_id}#shard#0"]["c"]
    assert outcomes["10"]["rejects"] == "abc"
    served.store.kept[f"rejects/{task_id}/old-key.jsonl"] = []
    outcomes["3"] = {"i": 0, "s": 0, "f": 0, "rejects": f"rejects/{task_id}/old-key.jsonl"}  # of an earlier version
    poison = ledger_pb2.FailChunkRequest(task_id=task_id, chunk=9, fence=1, rows=5, skipped=1, first_row=41)
    await served.ledger.FailChunk(poison)
    answer = [one async for one in served.ledger.ReadRejects(ledger_pb2.ReadRejectsRequest(task_id=task_id))]
    assert answer == [
        ledger_pb2.ReadRejectsResponse(chunk=9, first_row=41, rows=5, reason="poison"),
        ledger_pb2.ReadRejectsResponse(chunk=10, rejects=rows[:1]),
        ledger_pb2.ReadRejectsResponse(chunk=10, rejects=rows[1:]),
    ]


async def test_a_caller_sees_its_own_tasks_an_admin_all(served: Served) -> None:
    mine = await ledgers.create(served.line.book, client="ann")
    theirs = await ledgers.create(served.line.book, client="bob")
    assert (await served.tasks.GetTask(indexer_pb2.GetTaskRequest(task_id=mine))).task_id == mine
    for task_id in (theirs, "nobody", "turn#x", ""):
        with refused(grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND"):
            await served.tasks.GetTask(indexer_pb2.GetTaskRequest(task_id=task_id))
        with refused(grpc.StatusCode.NOT_FOUND):
            await served.tasks.CancelTask(indexer_pb2.CancelTaskRequest(task_id=task_id))
    assert [one.task_id for one in (await served.tasks.ListTasks(indexer_pb2.ListTasksRequest())).tasks] == [mine]
    served.door.caller = ADMIN
    assert (await served.tasks.GetTask(indexer_pb2.GetTaskRequest(task_id=theirs))).task_id == theirs
    assert len((await served.tasks.ListTasks(indexer_pb2.ListTasksRequest())).tasks) == 2


async def test_cancel_answers_204_once_and_then_409(served: Served) -> None:
    task_id = await ledgers.create(served.line.book)
    call = served.tasks.CancelTask(indexer_pb2.CancelTaskRequest(task_id=task_id))
    assert ("x-http-code", "204") in tuple(await call.initial_metadata())
    await call
    with refused(grpc.StatusCode.ABORTED, "TASK_FINISHED"):
        await served.tasks.CancelTask(indexer_pb2.CancelTaskRequest(task_id=task_id))


async def test_tasks_are_streamed_with_the_next_token_in_the_metadata(served: Served) -> None:
    made = []
    for _ in range(5):
        served.line.time.pass_by(1)
        made.append(await ledgers.create(served.line.book))
    call = served.tasks.StreamTasks(indexer_pb2.StreamTasksRequest(limit=2, offset=1))
    token = dict(await call.initial_metadata()).get("x-next-page-token")
    assert [one.task_id async for one in call] == [made[3], made[2]]
    call = served.tasks.StreamTasks(indexer_pb2.StreamTasksRequest(page_token=token))
    assert "x-next-page-token" not in dict(await call.initial_metadata())
    assert [one.task_id async for one in call] == [made[1], made[0]]
    page = await served.tasks.ListTasks(indexer_pb2.ListTasksRequest(page_size=3, status_filter="pending"))
    assert [one.task_id for one in page.tasks] == made[:1:-1]
    assert page.next_page_token


async def test_every_bad_field_is_named_at_once(served: Served) -> None:
    bad = indexer_pb2.StreamTasksRequest(status_filter="done", task_type="csv", limit=0, offset=10_001)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "status_filter", "task_type", "limit", "offset"):
        _ = [one async for one in served.tasks.StreamTasks(bad)]
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "page_size"):
        await served.tasks.ListTasks(indexer_pb2.ListTasksRequest(page_size=-1))
    assert not (await served.tasks.ListTasks(indexer_pb2.ListTasksRequest(page_size=1001))).next_page_token
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "page_token"):
        await served.tasks.ListTasks(indexer_pb2.ListTasksRequest(page_token="?"))


async def test_a_watcher_hears_every_change_and_a_beat_until_the_end(served: Served) -> None:
    book = served.line.book
    task_id = await ledgers.scanned(book)
    watch = served.tasks.WatchTask(indexer_pb2.WatchTaskRequest(task_id=task_id)).__aiter__()
    assert (await anext(watch)).status == "processing_chunks"
    beat = await anext(watch)  # nothing changed
    assert beat.status == "processing_chunks"
    await book.tasks.cancel(task_id)
    statuses = [one.status async for one in watch]
    assert statuses[-1] == "cancelled"
    assert statuses.count("cancelled") == 1
    done = [one.status async for one in served.tasks.WatchTask(indexer_pb2.WatchTaskRequest(task_id=task_id))]
    assert done == ["cancelled"]
    with refused(grpc.StatusCode.NOT_FOUND):
        _ = [one async for one in served.tasks.WatchTask(indexer_pb2.WatchTaskRequest(task_id="nobody"))]


async def test_a_namespace_is_checked_without_being_claimed(served: Served) -> None:
    asked = ledger_pb2.CheckNamespaceRequest(namespace="v2", model="small", dimension=3)

    empty = await served.ledger.CheckNamespace(asked)
    await served.line.book.namespaces.claim("v2", "ada", 3)
    held = await served.ledger.CheckNamespace(asked)

    assert (empty.model, empty.dimension, empty.problem) == ("", 0, "")
    assert (held.model, held.dimension) == ("ada", 3)
    assert "holds vectors of ada (3 values), not of small (3 values)" in held.problem


async def test_a_namespace_is_checked_for_the_index_s_own_width_where_none_is_chosen(line: Line) -> None:
    async def dimension_of_index() -> int:
        return 512

    async def check(model: str, dimension: int = 0) -> ledger_pb2.CheckNamespaceResponse:
        asked = ledger_pb2.CheckNamespaceRequest(namespace="v2", model=model, dimension=dimension)
        return await ledger_servicer.LedgerServicer(line.book, Store(), dimension_of_index).CheckNamespace(
            asked, context
        )

    context: Any = None
    await line.book.namespaces.claim("v2", "small", 512)

    answer = await check("small")
    assert (answer.index_dimension, answer.problem) == (512, "")
    assert "holds vectors of small (512 values), not of ada (512 values)" in (await check("ada")).problem
    assert (await check("small", 1536)).problem


async def test_an_upload_is_known_again_by_its_content_and_not_by_its_id(served: Served) -> None:
    def upload(upload_id: str, sha256: str) -> ledger_pb2.CreateTaskRequest:
        request = ingest_pb2.ProcessRequest(data_source="upload", upload_id=upload_id, question_id=1, request_id="key")
        source = ledger_pb2.PinnedSource(uri=f"s3://b/uploads/{upload_id}/a.csv", sha256=sha256)
        task_id = str(uuid.uuid4())
        return ledger_pb2.CreateTaskRequest(client="ann", request=request, source=source, task_id=task_id)

    first = await served.ledger.CreateTask(upload("one", "aa"))
    again = await served.ledger.CreateTask(upload("two", "aa"))

    assert (again.task_id, again.existed, again.request.upload_id) == (first.task_id, True, "one")
    with refused(grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED"):
        await served.ledger.CreateTask(upload("three", "bb"))


@pytest.mark.parametrize("limit", [0, 9])
async def test_a_task_of_a_key_with_a_limit_of_tokens_is_metered_for_as_long_as_it_lives(
    served: Served, limit: int
) -> None:
    asked = creation(limits=ledger_pb2.CallerLimits(tokens_per_day=limit))
    stored = await served.ledger.CreateTask(asked)
    found = await served.ledger.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id=stored.task_id))

    assert stored.metered == found.metered == bool(limit)


async def test_a_key_has_so_many_watches_at_once_and_the_next_one_when_one_ends(served: Served) -> None:
    task_id = (await served.ledger.CreateTask(creation())).task_id
    one = identity.KeyAllowance(watches=1)
    served.door.caller = identity.Caller(CALLER.key_id, CALLER.scopes, limits=one)
    asked = indexer_pb2.WatchTaskRequest(task_id=task_id)
    first = served.tasks.WatchTask(asked)
    await anext(aiter(first))
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCHES_QUOTA_EXCEEDED"):
        await anext(aiter(served.tasks.WatchTask(asked)))
    first.cancel()

    async with asyncio.timeout(20):
        while served.api.watches._of_key:  # the server hears of the cancel a moment later
            await asyncio.sleep(0.02)
    assert (await anext(aiter(served.tasks.WatchTask(asked)))).task_id == task_id


async def test_a_key_releases_the_namespaces_that_its_list_names(line: Line) -> None:
    nothing: Any = None
    tasks = Tasks(line.book, settings.LedgerSettings())
    api = servicer.IndexerServicer(tasks, line.book, nothing, nothing, nothing, rules=settings.LedgerSettings())
    admin = identity.Caller("ann", frozenset({"admin"}), allow=identity.Reach(namespaces=("mine*",)))
    bound = identity.bind(admin)
    try:
        with pytest.raises(errors.PermissionDenied) as refusal:
            await api.ReleaseNamespace(indexer_pb2.ReleaseNamespaceRequest(namespace="theirs"), nothing)
        with pytest.raises(errors.ServiceError) as unheld:
            await api.ReleaseNamespace(indexer_pb2.ReleaseNamespaceRequest(namespace="mine"), nothing)
    finally:
        identity.unbind(bound)

    assert refusal.value.reason == "NOT_ALLOWED"
    assert unheld.value.reason != "NOT_ALLOWED"
