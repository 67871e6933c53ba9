"""Retries: of one task, and of every task that a filter matches. Both ask the same of each."""

import contextlib
import datetime
import time
from collections.abc import Callable, Sequence
from typing import Final

from vectorline.v1 import ingest_pb2, ledger_pb2

from services.ingest import ledger_client, sources
from services.ingest.driving import retrying
from services.ingest.request import task_filter
from services.runtime import ahead, errors, identity, key_tokens

# Tasks that the ledger answers in one call.
LEDGER_PAGE: Final = 100
AT_ONCE: Final = 8
# A call looks through the ledger for so long; what it does not reach, the next page does.
LOOK_SECONDS: Final = 20.0
RETRIED_BEFORE: Final = "RETRIED_BEFORE"

Record = ledger_client.Record


class Retries:
    """Goes on with blocked tasks, and stores new ones over the rejected rows of finished ones.

    Args:
        ledger: Where tasks are.
        require: Refuses a request whose names the caller's key may not use.
        tokens: What was bought for keys today.
        begin: Drives a task that was stored or goes on.
        now: The time in UTC.
    """

    def __init__(
        self,
        ledger: ledger_client.Ledger,
        *,
        require: Callable[[ingest_pb2.ProcessRequest], None],
        tokens: key_tokens.Tokens,
        begin: Callable[[str], None],
        now: Callable[[], datetime.datetime] = key_tokens.now,
    ) -> None:
        self._ledger = ledger
        self._require = require
        self._tokens = tokens
        self._begin = begin
        self._now = now

    async def one(self, record: Record, *, every: bool) -> Record:
        """Retry a task that the caller may see.

        Raises:
            errors.ServiceError: The caller may not, or nothing is to retry. What the ledger refuses passes through.
        """
        self._require(record.request)
        await key_tokens.check(self._tokens)
        return await self._retry(record, every=every, counted=_counted(record))

    async def filtered(self, request: ingest_pb2.RetryTasksRequest) -> ingest_pb2.RetryTasksResponse:
        """Retry what a filter matches, a page of it.

        Raises:
            errors.InvalidArgument: Bad fields, all at once, or no filter.
            errors.PermissionDenied: It names what the caller's key may not use.
            errors.ResourceExhausted: The key's tokens of today are used up.
        """
        chosen = task_filter.TaskFilter.checked(request, self._now())
        question = request.question_id if request.HasField("question_id") else None
        identity.require(namespace=request.namespace or None, question=question)
        if not request.dry_run:
            await key_tokens.check(self._tokens)
        records, token = await self._page(chosen)
        told = await self._each(records, every=request.all, dry_run=request.dry_run)
        answer = ingest_pb2.RetryTasksResponse(
            dry_run=request.dry_run,
            matched=len(told),
            retried=sum(not each.reason for each in told),
            rows=sum(each.rows for each in told),
            tasks=told,
            next_page_token=token,
        )
        for each in told:
            if each.reason:
                answer.refused[each.reason] += 1
        return answer

    async def _page(self, chosen: task_filter.TaskFilter) -> tuple[list[Record], str]:
        """Tasks that the filter matches, and the token of where the next page begins."""
        caller = identity.current()
        asked = chosen.asked("" if caller.admin else caller.key_id)
        if chosen.request.task_ids:
            named = await self._named(chosen.request.task_ids, asked)
            return [task for task in named if task.status in chosen.statuses], ""
        until = time.monotonic() + LOOK_SECONDS
        found: list[Record] = []
        place = chosen.start
        while place.status and len(found) < chosen.size and time.monotonic() < until:
            asked.status, asked.page_token = place.status, place.token
            asked.page_size = min(LEDGER_PAGE, chosen.size - len(found))
            page = await self._ledger.records(asked)
            found += page.tasks
            place = chosen.after(place, page.next_page_token)
        return found, place.page_token

    async def _named(self, task_ids: Sequence[str], asked: ledger_pb2.ListTaskRecordsRequest) -> list[Record]:
        found: list[Record] = []
        for start in range(0, len(task_ids), LEDGER_PAGE):
            asked.task_ids[:] = task_ids[start : start + LEDGER_PAGE]
            found += (await self._ledger.records(asked)).tasks
        return list({task.task_id: task for task in found}.values())

    async def _each(self, records: Sequence[Record], *, every: bool, dry_run: bool) -> list[ingest_pb2.TaskRetry]:
        """What comes of each. Once a limit of the caller is reached, those that are left are told the same."""
        exhausted: list[ledger_client.Refused] = []

        async def one(record: Record) -> ingest_pb2.TaskRetry:
            told = ingest_pb2.TaskRetry(task_id=record.task_id, status=record.status)
            try:
                if exhausted:
                    raise exhausted[0]
                await self._try(record, told, every=every, dry_run=dry_run)
            except ledger_client.Refused as refused:
                if refused.exhausted:
                    exhausted.append(refused)
                told.reason, told.message = refused.reason, refused.message
            except errors.ServiceError as refused:
                told.reason, told.message = refused.reason, refused.message
            return told

        async with contextlib.aclosing(ahead.results(map(one, records), AT_ONCE)) as found:
            return [told async for told in found]

    async def _try(self, record: Record, told: ingest_pb2.TaskRetry, *, every: bool, dry_run: bool) -> None:
        self._require(record.request)
        with ledger_client.refusals():
            made = await self._retry(record, every=every, counted=True, dry_run=dry_run)
        if made.task_id:
            told.retry_task_id = made.task_id
        if made.existed:
            told.reason, told.message = RETRIED_BEFORE, "It was retried before; this is that retry."
            return
        if not dry_run:
            self._begin(made.task_id)
        if record.status != ledger_client.BLOCKED:
            told.rows = retrying.rows_in(record.rejected, every=every)

    async def _retry(self, record: Record, *, every: bool, counted: bool, dry_run: bool = False) -> Record:
        """Retry a task. A dry run answers the retry that was made before, or an empty record.

        Args:
            record: The task.
            every: Take rows rejected for any reason.
            counted: All its rejected rows are in its counts.
            dry_run: Refuse what would be refused, but store nothing.
        """
        if record.status == ledger_client.BLOCKED:
            if record.error_reason == ledger_client.HELD:
                raise errors.Conflict(
                    "The task is a held mirror: it goes on once the ids that it would remove are confirmed by the "
                    f"checksum of their list (POST /api/v1/task/{record.task_id}/confirm).",
                    reason=ledger_client.HELD,
                    metadata={"task_id": record.task_id},
                )
            return Record() if dry_run else await self._ledger.resume(record.task_id)
        if record.status not in ledger_client.TERMINAL:
            raise errors.Conflict(
                f"The task is {record.status}; only a finished or a blocked task can be retried.",
                reason="TASK_UNFINISHED",
                metadata={"task_id": record.task_id, "status": record.status},
            )
        if record.HasField("job"):
            raise errors.Conflict(
                f"The task is no load but a {record.request.data_source}: it has no rows to retry. Ask for it anew.",
                reason=retrying.NOTHING,
                metadata={"task_id": record.task_id},
            )
        if not record.plan_uri or (counted and not retrying.rows_in(record.rejected, every=every)):
            words = retrying.nothing(every=every).message
            raise errors.Conflict(words, reason=retrying.NOTHING, metadata={"task_id": record.task_id})
        # One retry of a task for each kind: a repeated call answers the same. Its rows are the driver's to find.
        asked = ingest_pb2.ProcessRequest()
        asked.CopyFrom(record.request)
        asked.request_id = retrying.request_id(record.task_id, every=every)
        pinned = sources.Pinned.from_proto(record.source)
        return await self._ledger.create(
            record.client, asked, pinned, "", parent_task_id=record.task_id, validate_only=dry_run
        )


def _counted(record: Record) -> bool:
    """Whether the ledger closed the task, so that all its rejects are in its counts."""
    return record.status in {"completed", "partially_completed"} or record.error_reason == "NO_ROW_INDEXED"
