"""A task as its callers see it: the ledger's item and progress as the public `Task`."""

import datetime
import math
from typing import Any, Final

from google.protobuf import json_format, struct_pb2
from vectorline.v1 import task_pb2, warning_pb2

from services.billing import bill, prices
from services.indexer.ledger import items, progress, records, removals
from services.indexer.ledger.items import Status
from services.indexer.storage import clock, table
from services.indexer.tasks import stalls

NO_PRICES: Final = prices.Prices()
STATES: Final = {status: task_pb2.TaskState.Value(f"TASK_STATE_{status.name}") for status in Status}


def message(
    item: table.Item,
    counts: progress.Progress,
    *,
    now: datetime.datetime,
    known: prices.Prices = NO_PRICES,
    stall: stalls.Stall | None = None,
) -> task_pb2.Task:
    """A task as its callers see it.

    Args:
        item: The task.
        counts: Its progress.
        now: The ledger's time.
        known: Prices of tokens and units.
        stall: How it stands still; None: it moves.
    """
    status = Status(item["status"])
    task = task_pb2.Task(
        task_id=item[table.KEY],
        status=status,
        state=STATES[status],
        progress=_progress(item, counts, status),
        metadata=_metadata(item),
        bill=bill.message(counts.spent, item.get("model", ""), _worked_on(item, counts), known),
    )
    if "started_at" in item:
        task.started_at.CopyFrom(records.timestamp(item["started_at"]))
    if "scanned_at" in item:
        task.scanned_at.CopyFrom(records.timestamp(item["scanned_at"]))
    if "error" in item:
        task.error = item["error"]
        task.error_reason = item["error_reason"]
    task.warnings.extend(warning_pb2.Warning.FromString(each) for each in item.get("warnings", ()))
    if (held := removals.shown(item)) is not None:
        task.held.CopyFrom(task_pb2.HeldMirror(**held))
    if status in items.TERMINAL:
        task.completed_at.CopyFrom(records.timestamp(item["completed_at"]))
        task.result.CopyFrom(_result(item, counts))
    if stall is not None:
        task.stalled_since.FromDatetime(stall.since)
        task.stalled_reason = stall.reason
    else:
        end = _estimated_completion(item, counts, now)
        if end is not None:
            task.metadata.estimated_completion_time.FromDatetime(end)
    return task


def unchanged(one: task_pb2.Task, other: task_pb2.Task) -> bool:
    """Whether a watcher would learn nothing new; the estimate moves with every look."""
    return without_estimate(one) == without_estimate(other)


def without_estimate(task: task_pb2.Task) -> task_pb2.Task:
    """A copy without what moves with every look."""
    copy = task_pb2.Task()
    copy.CopyFrom(task)
    copy.metadata.ClearField("estimated_completion_time")
    return copy


def _progress(item: table.Item, counts: progress.Progress, status: Status) -> task_pb2.TaskProgress:
    if status == Status.PROCESSING and "scan_total" in item:  # no load: it looks at ids itself
        total, done = item["scan_total"], item["scan_done"]
        return task_pb2.TaskProgress(
            total_records=total, processed_records=done, percentage=_percentage(done, total, status)
        )
    total = item.get("rows_total", 0)
    total_chunks = chunks(item)
    # What was opened for publishing; the same as published but for a large task's last moments before the seal.
    published = min(total_chunks or math.inf, item["shards_opened"] * items.CHUNKS_PER_SHARD)
    moving = status == Status.PROCESSING_CHUNKS
    unread = total - counts.rows if status in (Status.FAILED, Status.CANCELLED) else 0
    return task_pb2.TaskProgress(
        total_records=total,
        processed_records=counts.indexed,
        failed_records=counts.failed,
        skipped_records=counts.skipped,
        chunks_total=total_chunks,
        chunks_completed=counts.chunks_settled,
        chunks_processing=max(0, int(published) - counts.chunks_settled) if moving else 0,
        chunks_failed=counts.chunks_failed,
        current_chunk=counts.current_chunk,
        percentage=_percentage(counts.rows, total, status),
        unread_records=max(0, unread),
        unchanged_records=counts.unchanged,
        removed_records=counts.removed,
    )


def chunks(item: table.Item) -> int:
    """The chunks of a task: as sealed, before as planned; 0: not known yet."""
    return int(item["chunks_total"] if item["sealed"] else item.get("chunks_planned", 0))


def _percentage(rows: int, total: int, status: Status) -> float:
    if total:
        return math.floor(10_000 * min(rows, total) / total) / 100  # never 100 before the last row
    return 100.0 if status == Status.COMPLETED else 0.0


def _result(item: table.Item, counts: progress.Progress) -> task_pb2.TaskResult:
    lasted = clock.parse(item["completed_at"]) - clock.parse(item["created_at"])
    result = task_pb2.TaskResult.FromString(item.get("result", b""))
    result.MergeFrom(
        task_pb2.TaskResult(
            indexed=counts.indexed,
            skipped=counts.skipped,
            failed=counts.failed,
            duration_seconds=max(0.0, lasted.total_seconds()),
            failed_by_reason=counts.reasons,
            unchanged=counts.unchanged,
            removed=counts.removed,
        )
    )
    return result


def _metadata(item: table.Item) -> task_pb2.TaskMetadata:
    asked: Any = records.request(item)
    if "job" in item:
        job = records.job(item)
        kind = job.WhichOneof("kind")
        asked = getattr(job, kind) if kind else asked  # none: of a later release
    asked.ClearField("request_id")
    parameters = struct_pb2.Struct()
    parameters.update(json_format.MessageToDict(asked, preserving_proto_field_name=True))
    metadata = task_pb2.TaskMetadata(
        task_type=item["task_type"],
        parameters=parameters,
        created_at=records.timestamp(item["created_at"]),
        namespace=item["namespace"],
        columns=item.get("columns", ()),
        client=item["client"],
    )
    if source := records.source_name(item):
        metadata.source = source
    if "source" in item:
        metadata.source_bytes = records.source(item).size_bytes
    for name in ("parent_task_id", "encoding", "delimiter", "quoting", "model"):
        if item.get(name):
            setattr(metadata, name, item[name])
    if "encoding_guessed" in item:
        metadata.encoding_guessed = item["encoding_guessed"]
    return metadata


def _worked_on(item: table.Item, counts: progress.Progress) -> datetime.date:
    """The day on which the task was last worked on."""
    return clock.parse(counts.settled_at or item["created_at"]).date()


def _estimated_completion(
    item: table.Item, counts: progress.Progress, now: datetime.datetime
) -> datetime.datetime | None:
    if item["status"] != Status.PROCESSING_CHUNKS or not counts.rows:
        return None
    left = max(0, item["rows_total"] - counts.rows)
    seconds_a_row = max(0.0, (now - clock.parse(item["scanned_at"])).total_seconds()) / counts.rows
    return now + datetime.timedelta(seconds=left * seconds_a_row)
