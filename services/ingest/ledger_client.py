"""The ledger as ingest sees it. gRPC ends here: above are only the words of the domain."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from vectorline.v1 import ingest_pb2, job_pb2, ledger_pb2, ledger_pb2_grpc, task_pb2

from services.ingest import sources, warning
from services.ingest.planning import plan
from services.runtime import identity
from services.runtime.tracing import spans

Record = ledger_pb2.TaskRecord
Turn = ledger_pb2.AcquireTurnResponse

TERMINAL = frozenset({"completed", "partially_completed", "failed", "cancelled"})
BLOCKED = "blocked"
# Why a mirror is blocked that waits for a person.
HELD = "MIRROR_HELD"
SCANNING = "processing"
SPLITTING = "processing_chunks"

# The same call may succeed later, and nothing that it was about is wrong. The last three are about the deployment, not
# about a task: a token that is being rotated, an indexer of an earlier version. No task may fail for that.
NOT_NOW = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
# What was asked for cannot be, whoever asks again now.
REFUSALS = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
# The task is not where its driver thought it is.
STEPS_REFUSED = frozenset({grpc.StatusCode.ABORTED, grpc.StatusCode.NOT_FOUND})


class Paged(Protocol):
    """A page of a list."""

    @property
    def next_page_token(self) -> str:
        """Of the page after it; empty: it is the last."""


Page = TypeVar("Page", bound=Paged)


def over(record: Record | Turn) -> bool:
    """Nothing is to be driven: the task is terminal or blocked."""
    return record.status in TERMINAL or record.status == BLOCKED


class LedgerUnavailable(Exception):
    """The indexer does not answer: the same call may succeed later."""


class LedgerDefect(Exception):
    """The ledger answers what it never should: an internal error, a request that it does not understand."""


class LedgerRefused(Exception):
    """The ledger refuses a step: the task is not where its driver thought it is."""


class Ledger:
    """The ledger's methods that ingest calls. Those that a caller waits for let gRPC errors through as they are.

    Args:
        channel: To the indexers.
        marks: What is driven here marks what it writes, see `driving.comparisons`.
    """

    def __init__(self, channel: grpc.aio.Channel, *, marks: bool = False) -> None:
        self._marks = marks
        self._stub: ledger_pb2_grpc.LedgerServiceAsyncStub = ledger_pb2_grpc.LedgerServiceStub(channel)

    async def create(
        self,
        client: str,
        request: ingest_pb2.ProcessRequest,
        pinned: sources.Pinned | None,
        task_id: str = "",
        *,
        parent_task_id: str = "",
        validate_only: bool = False,
        job: job_pb2.Job | None = None,
    ) -> Record:
        """Store a task, within the caller's limits; errors pass through to the caller of the API.

        Without an id it gets one here: the channel repeats a call whose answer was lost, and only a name makes the
        second one find what the first has stored. With `validate_only` nothing is stored: the answer is the task that
        the idempotency key made before, or empty.
        """
        own = task_id or str(uuid.uuid4())
        record: Record = await self._stub.CreateTask(
            ledger_pb2.CreateTaskRequest(
                client=client,
                request=request,
                source=pinned.to_proto() if pinned else None,
                task_id=own,
                parent_task_id=parent_task_id,
                limits=_limits(client),
                validate_only=validate_only,
                traceparent=spans.recorded(),
                job=job,
            )
        )
        record.existed &= record.task_id != own  # what an attempt before has stored is this call's
        return record

    async def repeat(self, asked_by: Record, load: Record, request: ingest_pb2.ProcessRequest, repeats: str) -> Record:
        """Store a load of a source that another load had, for a task that asks for it.

        Args:
            asked_by: The task: the new one has its client, within its limits.
            load: The other.
            request: What is asked for; its request_id names it.
            repeats: The load's id where nothing may have been written since that; empty: whatever was.
        """
        with translated():
            return await self._stub.CreateTask(
                ledger_pb2.CreateTaskRequest(
                    client=asked_by.client,
                    request=request,
                    source=load.source,
                    task_id=str(uuid.uuid4()),
                    asked_by_task_id=asked_by.task_id,
                    repeats_task_id=repeats,
                    traceparent=asked_by.traceparent,
                )
            )

    async def records(self, request: ledger_pb2.ListTaskRecordsRequest) -> ledger_pb2.ListTaskRecordsResponse:
        """A page of tasks that a filter matches; errors pass through to the caller of the API."""
        return await self._stub.ListTaskRecords(request)

    async def admit(self, client: str, request_id: str) -> None:
        """Ask whether one more task would be taken; errors pass through to the caller of the API."""
        limits = _limits(client)
        if limits is not None:  # most keys have none, and save the call
            await self._stub.AdmitTask(ledger_pb2.AdmitTaskRequest(client=client, request_id=request_id, limits=limits))

    async def resume(self, task_id: str) -> Record:
        """A blocked task goes on; errors pass through to the caller of the API."""
        return await self._stub.ResumeTask(ledger_pb2.ResumeTaskRequest(task_id=task_id))

    async def find(self, task_id: str) -> Record:
        """A task; errors pass through to the caller of the API."""
        return await self._stub.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id=task_id))

    async def get(self, task_id: str) -> Record:
        """A task, read consistently."""
        with translated():
            return await self._stub.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id=task_id))

    async def open_tasks(self) -> AsyncIterator[Record]:
        """Tasks that are neither terminal nor blocked, oldest first."""
        async for page in pages(
            lambda token: self._stub.ListOpenTasks(ledger_pb2.ListOpenTasksRequest(page_token=token))
        ):
            for task in page.tasks:
                yield task

    async def ask_turn(self, task_id: str) -> Turn:
        """Take the task's turn or join the line for it: harmless to repeat."""
        with translated():
            return await self._stub.AcquireTurn(ledger_pb2.AcquireTurnRequest(task_id=task_id, marks=self._marks))

    async def acquire_turn(self, task_id: str) -> int:
        """The fence of the task's turn; 0 while another task holds it."""
        turn = await self.ask_turn(task_id)
        return turn.fence if turn.held else 0

    async def note_wait(self, task_id: str, why: str) -> bool:
        """Tell what a task waits for, empty for nothing; False: the ledger does not hear it now."""
        return await _heard(self._stub.NoteWait(ledger_pb2.NoteWaitRequest(task_id=task_id, why=why)))

    async def note_scan(self, task_id: str, done: int = 0, total: int = 0) -> bool:
        """Tell that the scan of a task moves, and how far; False: the ledger does not hear it now."""
        request = ledger_pb2.NoteScanRequest(task_id=task_id, done=done, total=total)
        return await _heard(self._stub.NoteScan(request))

    async def check_namespace(self, namespace: str, model: str, dimension: int) -> ledger_pb2.CheckNamespaceResponse:
        """What a namespace holds; errors pass through to the caller of the API."""
        return await self._stub.CheckNamespace(
            ledger_pb2.CheckNamespaceRequest(namespace=namespace, model=model, dimension=dimension)
        )

    async def begin_scan(self, task_id: str, pinned: sources.Pinned | None) -> Record:
        """The scan begins; None: with the staging of its source, and this is called again when that is pinned."""
        source = pinned.to_proto() if pinned else None
        with translated():
            return await self._stub.BeginScan(ledger_pb2.BeginScanRequest(task_id=task_id, source=source))

    async def end_scan(self, task: Record, pinned: sources.Pinned, made: plan.Plan, plan_uri: str) -> Record:
        """The scan ended."""
        request = ledger_pb2.EndScanRequest(
            task_id=task.task_id,
            source=pinned.to_proto(),
            plan_uri=plan_uri,
            rows_total=made.task_rows,
            chunks_total=made.task_chunks,
            encoding=made.dialect.encoding,
            delimiter=made.dialect.delimiter,
            columns=made.columns,
            types=made.types if task.request.metadata == "typed" else (),  # legacy: every value is a string
            encoding_guessed=made.dialect.encoding_guessed,
            quoting=made.dialect.quoting,
            warnings=[each.to_proto() for each in made.warnings],
        )
        with translated():
            return await self._stub.EndScan(request)

    async def end_look(
        self, task_id: str, plan_uri: str, *, indexed: int, failed: Mapping[str, int], rows: int, chunks: int
    ) -> Record:
        """The scan of a task that is no load ended.

        Args:
            task_id: The task.
            plan_uri: What was found.
            indexed: Ids that are as they should be.
            failed: Others, by reason.
            rows: Of the chunks that are still to come.
            chunks: How many.
        """
        request = ledger_pb2.EndScanRequest(
            task_id=task_id,
            plan_uri=plan_uri,
            rows_total=indexed + sum(failed.values()) + rows,
            chunks_total=chunks,
            looked_at=ledger_pb2.LookedAt(indexed=indexed, failed=failed),
        )
        with translated():
            return await self._stub.EndScan(request)

    async def open_shard(self, task_id: str, shard: int, fence: int) -> None:
        """Open a shard's book, before the first of its chunks is published under a fence."""
        with translated():
            await self._stub.OpenShard(ledger_pb2.OpenShardRequest(task_id=task_id, shard=shard, fence=fence))

    async def settle_quiet(
        self, task_id: str, shard: int, fence: int, comparison: str, quiet: Sequence[ledger_pb2.QuietChunk]
    ) -> None:
        """Settle chunks of a shard of which nothing travels, as a comparison says."""
        request = ledger_pb2.OpenShardRequest(
            task_id=task_id, shard=shard, quiet=quiet, quiet_fence=fence, comparison=comparison
        )
        with translated():
            answer = await self._stub.OpenShard(request)
        if answer.quiet != len(quiet):
            raise LedgerUnavailable("an indexer of an older release answered")

    async def settled_chunks(self, task_id: str, shard: int) -> frozenset[int]:
        """Chunks of a shard that are settled, read consistently."""
        return frozenset((await self.shard(task_id, shard)).settled_chunks)

    async def shard(self, task_id: str, shard: int) -> ledger_pb2.GetShardResponse:
        """A shard's settled chunks, and under which fences they were published; read consistently."""
        with translated():
            return await self._stub.GetShard(ledger_pb2.GetShardRequest(task_id=task_id, shard=shard))

    async def seal(
        self, task_id: str, made: plan.Plan, *, chunks: int = 0, warnings: Sequence[warning.Warning] = ()
    ) -> Record:
        """All chunks are published or settled; so many, where there are more than those of the plan."""
        request = ledger_pb2.SealTaskRequest(
            task_id=task_id,
            chunks_total=chunks or made.task_chunks,
            rows_total=made.task_rows,
            warnings=[each.to_proto() for each in warnings],
        )
        with translated():
            return await self._stub.SealTask(request)

    async def seal_job(self, task_id: str, chunks: int, rows: int, result: task_pb2.TaskResult) -> Record:
        """All chunks of a task that is no load are settled, and this is what it came to."""
        request = ledger_pb2.SealTaskRequest(task_id=task_id, chunks_total=chunks, rows_total=rows, result=result)
        with translated():
            return await self._stub.SealTask(request)

    async def fail(self, task_id: str, reason: str, message: str) -> Record:
        """The whole task cannot go on."""
        with translated():
            return await self._stub.FailTask(
                ledger_pb2.FailTaskRequest(task_id=task_id, reason=reason, message=message)
            )

    async def hold(self, task_id: str, reason: str, message: str, held: task_pb2.HeldMirror) -> Record:
        """A mirror waits for a person."""
        request = ledger_pb2.BlockTaskRequest(task_id=task_id, reason=reason, message=message, held=held)
        with translated():
            return await self._stub.BlockTask(request)

    async def confirm(self, task_id: str, checksum: str) -> Record:
        """A held mirror goes on; errors pass through to the caller of the API."""
        return await self._stub.ConfirmMirror(ledger_pb2.ConfirmMirrorRequest(task_id=task_id, checksum=checksum))

    async def rejects_of(self, task_id: str) -> AsyncIterator[ledger_pb2.ReadRejectsResponse]:
        """The stored rejects, chunk by chunk, for a driver."""
        with translated():
            async for part in self.rejects(task_id):
                yield part

    def rejects(self, task_id: str) -> AsyncIterator[ledger_pb2.ReadRejectsResponse]:
        """The stored rejects, chunk by chunk; errors pass through to the caller of the API."""
        return aiter(self._stub.ReadRejects(ledger_pb2.ReadRejectsRequest(task_id=task_id)))


async def _heard(call: Awaitable[object]) -> bool:
    """Whether a call was answered."""
    try:
        await call
    except grpc.aio.AioRpcError:
        return False
    return True


def _limits(client: str) -> ledger_pb2.CallerLimits | None:
    """The caller's limits; those of an admin who acts for another client are not the client's."""
    caller = identity.current()
    limits = caller.limits
    if caller.key_id != client or not (limits.open_tasks or limits.rows_per_day or limits.tokens_per_day):
        return None
    return ledger_pb2.CallerLimits(
        open_tasks=limits.open_tasks, rows_per_day=limits.rows_per_day, tokens_per_day=limits.tokens_per_day
    )


class Refused(Exception):
    """The ledger refuses a call that a caller waits for, by a reason and a sentence for that caller.

    Attributes:
        reason: Stable name, e.g. SUPERSEDED.
        message: A sentence.
        exhausted: A limit of the caller is reached: the same holds for whatever else it asks for now.
    """

    def __init__(self, reason: str, message: str, *, exhausted: bool) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.exhausted = exhausted


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Tell what the ledger refuses of one thing among many; all else (it does not answer) passes through.

    Raises:
        Refused: By the reason that the ledger names.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() not in REFUSALS:
            raise
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has the same trailing metadata
        info = error_details_pb2.ErrorInfo()
        named = status is not None and any(detail.Unpack(info) for detail in status.details)
        reason = info.reason if named else error.code().name
        exhausted = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        raise Refused(reason, error.details() or reason, exhausted=exhausted) from error


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn statuses of gRPC into words of the domain.

    Raises:
        LedgerRefused: The task is not where its driver thought it is.
        LedgerUnavailable: The same call may succeed later.
        LedgerDefect: Anything else.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        words = f"{error.code().name}: {error.details()}"
        if error.code() in STEPS_REFUSED:
            raise LedgerRefused(words) from error
        if error.code() in NOT_NOW:
            raise LedgerUnavailable(words) from error
        raise LedgerDefect(words) from error


async def pages(ask: Callable[[str], Awaitable[Page]]) -> AsyncIterator[Page]:
    """All pages of a list, each asked for by its token; raises what `translated` says."""
    token = ""
    while True:
        with translated():
            page = await ask(token)
        yield page
        token = page.next_page_token
        if not token:
            return
