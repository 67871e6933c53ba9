"""What in the tasks of the last hours is not as it should be."""

import datetime
from collections.abc import Iterator

from vectorline.v1 import monitoring_pb2

from services.indexer.ledger.items import Status
from services.indexer.tasks import overview, statistics

# More rejected rows than this share is a bad source, a wrong column or a broken template.
FAILURE_RATE = 0.15
# A task that waits longer than this for its turn or a splitter.
WAITING_SECONDS = 600.0
SEVERITIES = ("critical", "warning")


def of(seen: overview.Overview, stall_seconds: float) -> list[monitoring_pb2.Anomaly]:
    """The gravest first, then the newest."""
    found = [anomaly for note in seen.notes for anomaly in _of_task(note, seen.now, stall_seconds)]
    found += _of_all(seen)
    return sorted(found, key=lambda each: (SEVERITIES.index(each.severity), -each.since.ToNanoseconds()))


def _of_task(note: overview.Note, now: datetime.datetime, stall_seconds: float) -> Iterator[monitoring_pb2.Anomaly]:
    rate = statistics.failure_rate(note.indexed, note.failed)
    if rate > FAILURE_RATE:
        reason = max(note.reasons, key=lambda each: note.reasons[each], default="unknown")
        yield _anomaly(
            "failure_rate",
            f"{rate:.0%} of its rows were rejected, most of them for {reason}; the rejects name each.",
            note.settled or note.status_at,
            task_id=note.task_id,
            value=rate,
            threshold=FAILURE_RATE,
        )
    waits = (now - note.status_at).total_seconds()
    if note.status == Status.BLOCKED:
        yield _anomaly(
            "blocked_task",
            f"It is blocked ({note.error_reason}): {note.error}",
            note.status_at,
            severity="critical",
            task_id=note.task_id,
            value=waits,
        )
    elif note.stalled(now, stall_seconds):
        yield _anomaly(
            "stalled_task",
            "No chunk of it was settled for a while: see what the detailed health says of OpenAI, Pinecone and Valkey.",
            note.moved,
            task_id=note.task_id,
            value=(now - note.moved).total_seconds(),
            threshold=stall_seconds,
        )
    elif note.status in (Status.PENDING, Status.QUEUED) and waits > WAITING_SECONDS:
        yield _anomaly(
            "waiting_task",
            "It waits for its turn or a splitter: see whether another of its namespace is open, and ingest up.",
            note.status_at,
            task_id=note.task_id,
            value=waits,
            threshold=WAITING_SECONDS,
        )


def _of_all(seen: overview.Overview) -> Iterator[monitoring_pb2.Anomaly]:
    notes = seen.stored
    rate = statistics.failure_rate(sum(note.indexed for note in notes), sum(note.failed for note in notes))
    if rate > FAILURE_RATE:
        yield _anomaly(
            "failure_rate",
            f"{rate:.0%} of the rows of all tasks of the last {seen.hours} h were rejected.",
            seen.since,
            value=rate,
            threshold=FAILURE_RATE,
        )


def _anomaly(
    kind: str,
    message: str,
    since: datetime.datetime,
    *,
    severity: str = "warning",
    task_id: str = "",
    value: float,
    threshold: float = 0.0,
) -> monitoring_pb2.Anomaly:
    anomaly = monitoring_pb2.Anomaly(kind=kind, severity=severity, message=message, value=value, threshold=threshold)
    if task_id:
        anomaly.task_id = task_id
    anomaly.since.FromDatetime(since)
    return anomaly
