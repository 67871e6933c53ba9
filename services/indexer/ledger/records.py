"""Between the ledger's items and the messages of the LedgerService."""

import datetime

from google.protobuf import timestamp_pb2
from vectorline.v1 import ingest_pb2, job_pb2, ledger_pb2, warning_pb2

from services.indexer.ledger import column_types, creation, finding, lifecycle, progress, removals, shards
from services.indexer.storage import clock, table
from services.runtime import identity

# Of a shard that an older release opened: nobody knows under which fences.
ANY_FENCE = (1 << 63) - 1


def record(
    item: table.Item, *, existed: bool = False, counts: progress.Progress | None = None
) -> ledger_pb2.TaskRecord:
    """A task item as services see it; its rejected rows by `counts`, or as far as they are rolled up."""
    message = ledger_pb2.TaskRecord(
        task_id=item[table.KEY],
        client=item["client"],
        status=item["status"],
        request=request(item),
        plan_uri=item.get("plan_uri", ""),
        fence=item.get("fence", 0),
        rows_total=item.get("rows_total", 0),
        sealed=item["sealed"],
        chunks_total=item.get("chunks_total", 0),
        created_at=timestamp(item["created_at"]),
        parent_task_id=item.get("parent_task_id", ""),
        error_reason=item.get("error_reason", ""),
        error=item.get("error", ""),
        existed=existed,
        metered="tokens_per_day" in item,
        replaces_nothing=item.get("replaces_nothing", False),
        traceparent=item.get("traceparent", ""),
        after_task_id=item.get("after", ""),
        confirmed=item.get("confirmed", ""),
        overtaken=item.get("overtaken", False),
        wait=item.get("wait", ""),
    )
    if "job" in item:
        message.job.CopyFrom(job(item))
    if "stopped_at" in item:
        message.stopped_at.CopyFrom(timestamp(item["stopped_at"]))
    if (begun := removals.of(item)) is not None:
        message.removal.CopyFrom(
            ledger_pb2.Removal(
                comparison=begun.comparison,
                first_chunk=begun.first,
                chunks=begun.chunks,
                drop=begun.drop,
                why_by_ids=begun.why_by_ids,
            )
        )
    for reason, rows in (counts or progress.rolled_up(item)).reasons.items():
        message.rejected[reason] = rows
    if "source" in item:
        message.source.CopyFrom(source(item))
    return message


def shard(item: table.Item) -> ledger_pb2.GetShardResponse:
    """What is settled in a shard, and under which fences."""
    outcomes = {chunk: item["c"][str(chunk)] for chunk in shards.settled_chunks(item)}
    return ledger_pb2.GetShardResponse(
        settled_chunks=list(outcomes),
        exists=True,
        fences=[outcome.get("n", 0) for outcome in outcomes.values()],
        unread_chunks=[chunk for chunk, outcome in outcomes.items() if outcome.get("reason")],
        rejecting_chunks=[chunk for chunk, outcome in outcomes.items() if outcome["f"] and not outcome.get("reason")],
        opened=item.get("opened", ANY_FENCE),
        failed_rows=item["failed"],
        lsn=item.get("lsn", 0),
    )


def request(item: table.Item) -> ingest_pb2.ProcessRequest:
    """The request of a task."""
    return ingest_pb2.ProcessRequest.FromString(item["request"])


def job(item: table.Item) -> job_pb2.Job:
    """What a task that is no load was asked for; of a load empty."""
    return job_pb2.Job.FromString(item.get("job", b""))


def source(item: table.Item) -> ledger_pb2.PinnedSource:
    """The pinned source of a task; empty before it is pinned."""
    return ledger_pb2.PinnedSource.FromString(item.get("source", b""))


def source_name(item: table.Item) -> str:
    """The source of a task as people know it: the name of an uploaded file, an S3 URI, a path; empty: not known yet."""
    pinned = source(item)
    return pinned.display_name or pinned.uri or request(item).s3_key


def new_task(message: ledger_pb2.CreateTaskRequest) -> creation.NewTask:
    """What is to be stored."""
    asked = message.request
    body = ingest_pb2.ProcessRequest()
    body.CopyFrom(asked)
    body.ClearField("request_id")
    if asked.data_source == "upload" and message.source.sha256:
        # Every upload has an id of its own: a repeated one is known by its content.
        body.upload_id = message.source.sha256
    job = message.job.SerializeToString(deterministic=True) if message.HasField("job") else b""
    asked_job = job_pb2.Job()
    asked_job.CopyFrom(message.job)
    asked_job.ClearField("last_load")  # found for it by this call, and perhaps another by the next
    return creation.NewTask(
        client=message.client,
        request_id=asked.request_id,
        request=asked.SerializeToString(deterministic=True),
        body=body.SerializeToString(deterministic=True)
        + message.parent_task_id.encode()
        + asked_job.SerializeToString(deterministic=True),
        task_type=asked.data_source,
        namespace=asked.namespace,
        question_id=asked.question_id if asked.HasField("question_id") else None,
        source=message.source.SerializeToString() if message.HasField("source") else b"",
        task_id=message.task_id,
        parent_task_id=message.parent_task_id,
        limits=limits(message.limits),
        traceparent=message.traceparent,
        job=job,
    )


def wanted(message: ledger_pb2.ListTaskRecordsRequest) -> finding.Wanted:
    """Which tasks are asked for."""
    return finding.Wanted(
        client=message.client,
        status=message.status,
        reason=message.reason,
        since=clock.text(message.since.ToDatetime(datetime.UTC)) if message.HasField("since") else "",
        namespace=message.namespace,
        question_id=message.question_id if message.HasField("question_id") else None,
    )


def limits(message: ledger_pb2.CallerLimits) -> identity.KeyAllowance:
    """What a key may use of the ledger."""
    return identity.KeyAllowance(
        open_tasks=message.open_tasks, rows_per_day=message.rows_per_day, tokens_per_day=message.tokens_per_day
    )


def limits_of(item: table.Item) -> identity.KeyAllowance:
    """What of its key's limits a task was stored with."""
    return identity.KeyAllowance(rows_per_day=item.get("rows_per_day", 0), tokens_per_day=item.get("tokens_per_day", 0))


def scan(message: ledger_pb2.EndScanRequest) -> lifecycle.Scan:
    """What a scan found."""
    return lifecycle.Scan(
        source=message.source.SerializeToString(),
        plan_uri=message.plan_uri,
        rows=message.rows_total,
        encoding=message.encoding,
        delimiter=message.delimiter,
        columns=tuple(message.columns),
        chunks=message.chunks_total,
        warnings=tuple(warning.SerializeToString() for warning in message.warnings),
        encoding_guessed=message.encoding_guessed,
        quoting=message.quoting,
        types=dict(zip(message.columns, message.types, strict=False)),
        indexed=message.looked_at.indexed,
        failed=dict(message.looked_at.failed),
    )


def types_changed(change: column_types.Change) -> bytes:
    """The warning about a column whose type is another than at the last load."""
    return warning_pb2.Warning(
        code="types_changed",
        message=(
            f"Column {change.column!r} is {change.now}, and was {change.before} when task {change.task_id} loaded this "
            f"question into the namespace: filters on it find only one of the two. column_types says what it is."
        ),
        column=change.column,
    ).SerializeToString()


def timestamp(moment: str) -> timestamp_pb2.Timestamp:
    """A stored time as a message."""
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(clock.parse(moment))
    return message
