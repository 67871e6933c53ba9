"""What came of the tasks of the last hours: counts, failure rate and pace, also hour by hour or day by day."""

import collections
import datetime

from vectorline.v1 import monitoring_pb2

from services.indexer.tasks import overview

# Beyond so many hours the buckets are days.
HOURLY = 48


def of(seen: overview.Overview) -> monitoring_pb2.Statistics:
    """The statistics of the tasks that were stored in the time looked at."""
    notes = seen.stored
    indexed, failed = sum(note.indexed for note in notes), sum(note.failed for note in notes)
    reasons: collections.Counter[str] = collections.Counter()
    for note in notes:
        reasons.update(note.reasons)
    busy = busy_seconds(notes, seen.now)
    return monitoring_pb2.Statistics(
        hours=seen.hours,
        tasks=len(notes),
        by_status=overview.by_status(note.status for note in notes),
        rows_indexed=indexed,
        rows_skipped=sum(note.skipped for note in notes),
        rows_failed=failed,
        failure_rate=failure_rate(indexed, failed),
        failed_by_reason=reasons,
        busy_seconds=busy,
        rows_per_second=sum(note.rows for note in notes) / busy if busy else 0.0,
        buckets=_buckets(seen),
        truncated=seen.truncated,
    )


def failure_rate(indexed: int, failed: int) -> float:
    """Failed rows as a share of those that were to be indexed; 0 when there are none."""
    return failed / (indexed + failed) if indexed + failed else 0.0


def busy_seconds(notes: list[overview.Note], now: datetime.datetime) -> float:
    """Seconds in which at least one of the tasks was at work: overlaps count once."""
    busy, end = 0.0, datetime.datetime.min.replace(tzinfo=datetime.UTC)
    for start, stop in sorted(filter(None, (note.worked(now) for note in notes))):
        busy += max(0.0, (stop - max(start, end)).total_seconds())
        end = max(end, stop)
    return busy


def _buckets(seen: overview.Overview) -> list[monitoring_pb2.StatisticsBucket]:
    wide = datetime.timedelta(hours=1) if seen.hours <= HOURLY else datetime.timedelta(days=1)
    buckets: dict[datetime.datetime, monitoring_pb2.StatisticsBucket] = {}
    start = _floor(seen.since, wide)
    while start <= seen.now:
        buckets[start] = monitoring_pb2.StatisticsBucket()
        buckets[start].start.FromDatetime(start)
        start += wide
    last = max(buckets)
    for note in seen.stored:
        # A task may be stored a moment after `now`, while its page was read.
        bucket = buckets[min(_floor(note.created, wide), last)]
        bucket.tasks += 1
        bucket.rows_indexed += note.indexed
        bucket.rows_skipped += note.skipped
        bucket.rows_failed += note.failed
    return list(buckets.values())


def _floor(moment: datetime.datetime, wide: datetime.timedelta) -> datetime.datetime:
    whole = moment.replace(minute=0, second=0, microsecond=0)
    return whole.replace(hour=0) if wide.days else whole
