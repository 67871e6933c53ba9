"""LedgerService: RPC in, ledger out. Who may call is the auth interceptor's business."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import grpc
from vectorline.v1 import chunk_pb2, ledger_pb2, ledger_pb2_grpc

from services.indexer import ledger
from services.indexer.ledger import finding, gate, items, namespaces, records, removals, shards
from services.indexer.storage import rejects, table
from services.runtime import ahead, errors

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

GATES: Final = {answer: ledger_pb2.Gate.Value(f"GATE_{answer.name}") for answer in gate.Answer}
# One message holds at most this much of a chunk's rejects, unless a single one is larger.
REJECTS_MESSAGE_BYTES: Final = 1024 * 1024
# Chunks whose rejects are fetched at once: each is an object of at most some MiB.
REJECTS_AHEAD: Final = 4


class LedgerServicer(ledger_pb2_grpc.LedgerServiceServicer):
    """The ledger to the other services.

    Args:
        book: The ledger.
        store: Where rejects are kept.
        dimension: Asks the index that vectors go to for its values a vector; None: there is none to ask.
        count: Asks it how many vectors a namespace holds.
    """

    def __init__(
        self,
        book: ledger.Ledger,
        store: rejects.RejectStore,
        dimension: Callable[[], Awaitable[int]] | None = None,
        count: Callable[[str], Awaitable[int]] | None = None,
    ) -> None:
        self._ledger = book
        self._rejects = store
        self._dimension = dimension
        self._count = count

    async def CreateTask(self, request: ledger_pb2.CreateTaskRequest, context: Context) -> ledger_pb2.TaskRecord:
        if not request.client:
            raise errors.InvalidArgument(
                "The request has a bad field.",
                violations=(errors.FieldViolation("client", "The key id of who submits the task."),),
            )
        new = records.new_task(request)
        if request.asked_by_task_id:
            asking = await self._ledger.tasks.get(request.asked_by_task_id)
            new = dataclasses.replace(new, limits=records.limits_of(asking))
        repeated = request.parent_task_id or request.repeats_task_id
        if repeated or request.validate_only:
            stored = await self._ledger.creation.find(new)
            if stored is not None:
                return records.record(stored, existed=True)
        if repeated:
            new = dataclasses.replace(new, recency=await self._ledger.turns.check_latest(repeated))
        if request.validate_only:
            return ledger_pb2.TaskRecord()
        task, existed = await self._ledger.create(new)
        return records.record(task, existed=existed)

    async def AdmitTask(self, request: ledger_pb2.AdmitTaskRequest, context: Context) -> ledger_pb2.AdmitTaskResponse:
        if not await self._ledger.creation.known(request.client, request.request_id):
            await self._ledger.allowance.check(request.client, records.limits(request.limits))
        return ledger_pb2.AdmitTaskResponse()

    async def GetTaskRecord(self, request: ledger_pb2.GetTaskRecordRequest, context: Context) -> ledger_pb2.TaskRecord:
        return records.record(await self._ledger.tasks.get(request.task_id))

    async def ListOpenTasks(
        self, request: ledger_pb2.ListOpenTasksRequest, context: Context
    ) -> ledger_pb2.ListOpenTasksResponse:
        page = await self._ledger.listing.open(request.page_token)
        found = await self._ledger.tasks.get_many(page.ids)
        open_tasks = [task for task in found if task["status"] in items.OPEN]
        return ledger_pb2.ListOpenTasksResponse(
            tasks=[records.record(task) for task in open_tasks], next_page_token=page.next_page_token
        )

    async def ListTaskRecords(
        self, request: ledger_pb2.ListTaskRecordsRequest, context: Context
    ) -> ledger_pb2.ListTaskRecordsResponse:
        wanted = records.wanted(request)
        if request.task_ids:
            _check_ids(request.task_ids)
            found = await self._ledger.finding.among(request.task_ids, wanted)
        elif wanted.status in tuple(items.Status):
            found = await self._ledger.finding.page(wanted, request.page_token, request.page_size or finding.PAGE)
        else:
            words = f"One of {', '.join(items.Status)}, unless tasks are named."
            raise errors.InvalidArgument(
                "The request has a bad field.", violations=(errors.FieldViolation("status", words),)
            )
        return ledger_pb2.ListTaskRecordsResponse(
            tasks=[records.record(task, counts=counts) for task, counts in found.tasks],
            next_page_token=found.next_page_token,
        )

    async def AcquireTurn(
        self, request: ledger_pb2.AcquireTurnRequest, context: Context
    ) -> ledger_pb2.AcquireTurnResponse:
        turn = await self._ledger.turns.acquire(request.task_id, marks=request.marks)
        return ledger_pb2.AcquireTurnResponse(
            held=turn.held,
            fence=turn.fence,
            holder_task_id=turn.holder,
            status=turn.status,
            position=turn.position,
            first_task_id=turn.first,
        )

    async def BeginScan(self, request: ledger_pb2.BeginScanRequest, context: Context) -> ledger_pb2.TaskRecord:
        source = request.source.SerializeToString() if request.HasField("source") else b""
        return records.record(await self._ledger.tasks.begin_scan(request.task_id, source))

    async def EndScan(self, request: ledger_pb2.EndScanRequest, context: Context) -> ledger_pb2.TaskRecord:
        return records.record(await self._ledger.end_scan(request.task_id, records.scan(request)))

    async def OpenShard(self, request: ledger_pb2.OpenShardRequest, context: Context) -> ledger_pb2.OpenShardResponse:
        if request.fence:
            await self._ledger.shards.open(request.task_id, request.shard, request.fence)
        if not request.quiet:
            if not request.fence:  # as an older release asks
                await self._ledger.shards.open(request.task_id, request.shard)
            return ledger_pb2.OpenShardResponse()
        outcomes = {
            each.chunk: shards.Outcome(
                indexed=0, skipped=each.skipped, failed=0, unchanged=each.unchanged, fence=request.quiet_fence
            )
            for each in request.quiet
        }
        if any(items.shard_of(chunk) != request.shard for chunk in outcomes):
            raise errors.InvalidArgument("These chunks are not all of this shard.")
        await self._ledger.closing.settle_quiet(
            request.task_id, request.shard, request.quiet_fence, request.comparison, outcomes
        )
        return ledger_pb2.OpenShardResponse(quiet=len(outcomes))

    async def GetShard(self, request: ledger_pb2.GetShardRequest, context: Context) -> ledger_pb2.GetShardResponse:
        shard = await self._ledger.shards.get(request.task_id, request.shard)
        if shard is None:
            return ledger_pb2.GetShardResponse(exists=False)
        return records.shard(shard)

    async def SealTask(self, request: ledger_pb2.SealTaskRequest, context: Context) -> ledger_pb2.TaskRecord:
        result = request.result.SerializeToString() if request.HasField("result") else b""
        told = [warning.SerializeToString() for warning in request.warnings]
        task = await self._ledger.closing.seal(request.task_id, request.chunks_total, request.rows_total, result, told)
        return records.record(task)

    async def FailTask(self, request: ledger_pb2.FailTaskRequest, context: Context) -> ledger_pb2.TaskRecord:
        return records.record(await self._ledger.tasks.fail(request.task_id, request.reason, request.message))

    async def BlockTask(self, request: ledger_pb2.BlockTaskRequest, context: Context) -> ledger_pb2.TaskRecord:
        if request.HasField("held"):
            asked = request.held
            held = removals.Held(asked.gone, asked.entries, asked.checksum, asked.why)
            return records.record(await self._ledger.removals.hold(request.task_id, request.message, held))
        return records.record(await self._ledger.tasks.block(request.task_id, request.reason, request.message))

    async def ConfirmMirror(self, request: ledger_pb2.ConfirmMirrorRequest, context: Context) -> ledger_pb2.TaskRecord:
        return records.record(await self._ledger.confirm(request.task_id, request.checksum))

    async def NoteWait(self, request: ledger_pb2.NoteWaitRequest, context: Context) -> ledger_pb2.NoteWaitResponse:
        await self._ledger.tasks.note_wait(request.task_id, request.why)
        return ledger_pb2.NoteWaitResponse()

    async def NoteScan(self, request: ledger_pb2.NoteScanRequest, context: Context) -> ledger_pb2.NoteScanResponse:
        await self._ledger.tasks.note_scan(request.task_id, request.done, request.total)
        return ledger_pb2.NoteScanResponse()

    async def ListBlockedTasks(
        self, request: ledger_pb2.ListBlockedTasksRequest, context: Context
    ) -> ledger_pb2.ListBlockedTasksResponse:
        return ledger_pb2.ListBlockedTasksResponse(task_ids=await self._ledger.listing.blocked(request.reason))

    async def ResumeTask(self, request: ledger_pb2.ResumeTaskRequest, context: Context) -> ledger_pb2.TaskRecord:
        return records.record(await self._ledger.resume(request.task_id))

    async def CheckNamespace(
        self, request: ledger_pb2.CheckNamespaceRequest, context: Context
    ) -> ledger_pb2.CheckNamespaceResponse:
        held = await self._ledger.namespaces.holds(request.namespace)
        answer = ledger_pb2.CheckNamespaceResponse(
            index_dimension=await self._index_dimension(), circuit_open=self._ledger.circuit_open()
        )
        dimension = request.dimension or answer.index_dimension
        if problem := self._ledger.namespaces.problem:
            answer.problem = problem.message
        if held is not None:
            answer.model, answer.dimension = held.model, held.dimension
        if answer.index_dimension not in (0, dimension):
            answer.problem = (
                f"The index takes {answer.index_dimension} values a vector, not {dimension}. Set "
                "EMBEDDING_DIMENSIONS to what it takes, or use another index."
            )
        try:
            if dimension:
                await self._ledger.namespaces.check(request.namespace, request.model, dimension)
        except namespaces.NamespaceRefused as refused:
            answer.problem = refused.message
        if request.namespace and self._count is not None:
            with contextlib.suppress(errors.Unavailable):
                answer.vectors = await self._count(request.namespace)
        return answer

    async def _index_dimension(self) -> int:
        """Values a vector of the index; 0: it cannot be asked now."""
        try:
            return await self._dimension() if self._dimension is not None else 0
        except errors.Unavailable:
            return 0

    async def BeginChunk(
        self, request: ledger_pb2.BeginChunkRequest, context: Context
    ) -> ledger_pb2.BeginChunkResponse:
        answers = await self._ledger.gate.begin(
            request.task_id,
            (request.chunk, *request.also),
            request.fence,
            request.model,
            request.dimension,
            waits=request.waits,
        )
        gate, *also = (GATES[answer] for answer in answers)
        return ledger_pb2.BeginChunkResponse(gate=gate, also=also)

    async def FailChunk(self, request: ledger_pb2.FailChunkRequest, context: Context) -> ledger_pb2.FailChunkResponse:
        if request.skipped > request.rows:
            raise errors.InvalidArgument(
                "The request has a bad field.",
                violations=(errors.FieldViolation("skipped", f"At most the {request.rows} rows of the chunk."),),
            )
        reason = request.reason or "poison"
        failed = request.rows - request.skipped
        outcome = shards.Outcome(
            indexed=0,
            skipped=request.skipped,
            failed=failed,
            reasons={reason: failed} if failed else {},
            reason=reason,
            first_row=request.first_row,
            unchanged=min(request.unchanged, request.skipped),
            fence=request.fence,
        )
        answer = await self._ledger.fail_chunk(request.task_id, request.chunk, request.fence, outcome)
        return ledger_pb2.FailChunkResponse(gate=GATES[answer])

    async def ReadRejects(
        self, request: ledger_pb2.ReadRejectsRequest, context: Context
    ) -> AsyncIterator[ledger_pb2.ReadRejectsResponse]:
        task = await self._ledger.tasks.get(request.task_id)
        for number in range(task["shards_opened"]):
            shard = await self._ledger.shards.get(request.task_id, number)
            if shard is None:
                continue
            chunks = ((chunk, shard["c"][str(chunk)]) for chunk in shards.settled_chunks(shard))
            wanted = (self._of_chunk(*each) for each in chunks if each[1].get("reason") or each[1].get("rejects"))
            async with contextlib.aclosing(ahead.results(wanted, REJECTS_AHEAD)) as found:
                async for parts in found:
                    for part in parts:
                        yield part

    async def _of_chunk(self, chunk: int, outcome: table.Item) -> list[ledger_pb2.ReadRejectsResponse]:
        if outcome.get("reason"):
            rows = outcome["i"] + outcome["s"] + outcome["f"]
            first_row, reason = outcome["first_row"], outcome["reason"]
            return [ledger_pb2.ReadRejectsResponse(chunk=chunk, first_row=first_row, rows=rows, reason=reason)]
        found = await self._rejects.read(outcome["rejects"])
        return [ledger_pb2.ReadRejectsResponse(chunk=chunk, rejects=part) for part in _parts(found)]


def _check_ids(task_ids: Sequence[str]) -> None:
    if len(task_ids) > finding.PAGE:
        words = f"{len(task_ids)} tasks, and {finding.PAGE} is the most of one call."
        raise errors.InvalidArgument(
            "The request has a bad field.", violations=(errors.FieldViolation("task_ids", words),)
        )


def _parts(found: Sequence[chunk_pb2.Reject]) -> Iterator[list[chunk_pb2.Reject]]:
    part: list[chunk_pb2.Reject] = []
    size = 0
    for reject in found:
        if part and size + reject.ByteSize() > REJECTS_MESSAGE_BYTES:
            yield part
            part, size = [], 0
        part.append(reject)
        size += reject.ByteSize()
    if part:
        yield part
