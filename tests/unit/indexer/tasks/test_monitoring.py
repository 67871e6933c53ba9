"""What operators see of tasks is what the ledger holds, and each caller sees its own."""

import datetime
from collections.abc import Iterator
from typing import Any

import prometheus_client
import pytest
import structlog
from vectorline.v1 import monitoring_pb2

from services.indexer import settings
from services.indexer.tasks import anomalies, gauges, monitoring, overview, statistics
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors, identity
from tests.support import ledgers
from tests.support.ledgers import Line

ANN = identity.Caller("ann", frozenset({"read", "ingest"}))
ROOT = identity.Caller("root", frozenset({"read", "admin"}))
STALL_SECONDS = 120.0


@pytest.fixture(autouse=True)
def _ann() -> Iterator[None]:
    token = identity.bind(ANN)
    yield
    identity.unbind(token)


@pytest.fixture
def views(line: Line) -> Any:
    rules = settings.LedgerSettings(stall_seconds=STALL_SECONDS)
    return monitoring.MonitoringServicer(task_servicer.TaskServicer(line.book, rules), line.book, rules)


async def finished(line: Line, seconds: float = 0.0, indexed: int = 0, failed: int = 0, **changes: Any) -> str:
    """A task of one chunk that took so long after its scan."""
    task_id = await ledgers.scanned(line.book, rows=indexed + failed, **changes)
    await line.book.shards.open(task_id, 0)
    line.time.pass_by(seconds)
    reasons = {"empty_text": failed} if failed else {}
    await line.book.closing.settle(task_id, 0, ledgers.shards.Outcome(indexed, 0, failed, reasons))
    await line.book.closing.seal(task_id, 1, indexed + failed)
    return task_id


async def test_statistics_are_of_the_tasks_stored_in_the_hours(line: Line, views: Any) -> None:
    await finished(line, seconds=10, indexed=1_000)
    line.time.pass_by(2 * 3600)
    await finished(line, seconds=20, indexed=90, failed=10)

    lately = await views.GetStatistics(monitoring_pb2.GetStatisticsRequest(hours=1), None)
    day = await views.GetStatistics(monitoring_pb2.GetStatisticsRequest(), None)

    assert (lately.tasks, lately.rows_indexed, lately.rows_failed, lately.failure_rate) == (1, 90, 10, 0.1)
    assert dict(lately.failed_by_reason) == {"empty_text": 10}
    assert (lately.busy_seconds, lately.rows_per_second) == (20, 5)
    assert (day.hours, day.tasks, day.rows_indexed, day.busy_seconds) == (24, 2, 1_090, 30)
    assert len(day.buckets) == 25
    assert sum(bucket.rows_indexed for bucket in day.buckets) == 1_090
    assert [bucket.rows_indexed for bucket in day.buckets if bucket.tasks] == [1_000, 90]


async def test_a_caller_sees_its_own_and_an_admin_all(line: Line, views: Any) -> None:
    await finished(line, indexed=1, client="ann")
    theirs = await ledgers.scanned(line.book, client="bob")
    asked = monitoring_pb2.GetStatisticsRequest()

    assert (await views.GetStatistics(asked, None)).tasks == 1
    assert (await views.GetActiveProgress(monitoring_pb2.GetActiveProgressRequest(), None)).total == 0
    with pytest.raises(errors.NotFound):
        await views.GetTaskProgress(monitoring_pb2.GetTaskProgressRequest(task_id=theirs), None)
    with pytest.raises(errors.NotFound):
        await views.StopTask(monitoring_pb2.StopTaskRequest(task_id=theirs), None)
    token = identity.bind(ROOT)
    assert (await views.GetStatistics(asked, None)).tasks == 2
    assert (await views.GetActiveProgress(monitoring_pb2.GetActiveProgressRequest(), None)).total == 1
    identity.unbind(token)


async def test_every_anomaly_is_named_the_gravest_first(line: Line, views: Any) -> None:
    waiting = await ledgers.create(line.book)
    stalled = await ledgers.scanned(line.book)
    blocked = await ledgers.scanned(line.book)
    await line.book.tasks.block(blocked, "ACCOUNT_REFUSED", "Pay.")
    line.time.pass_by(anomalies.WAITING_SECONDS + 1)
    bad = await finished(line, indexed=80, failed=20)
    await finished(line, indexed=100, failed=15)
    young = await ledgers.create(line.book)

    told = (await views.GetAnomalies(monitoring_pb2.GetAnomaliesRequest(), None)).anomalies

    assert told[0].kind == "blocked_task"
    assert {(each.kind, each.severity, each.task_id) for each in told} == {
        ("blocked_task", "critical", blocked),
        ("stalled_task", "warning", stalled),
        ("waiting_task", "warning", waiting),
        ("failure_rate", "warning", bad),
        ("failure_rate", "warning", ""),
    }
    assert young not in {each.task_id for each in told}
    rate = next(each for each in told if each.task_id == bad)
    assert (rate.value, rate.threshold) == (0.2, 0.15)
    assert not next(each for each in told if not each.task_id).HasField("task_id")


async def test_overlapping_tasks_are_busy_once(line: Line) -> None:
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

    def note(begin: float, end: float) -> overview.Note:
        at = [start + datetime.timedelta(seconds=seconds) for seconds in (begin, end)]
        return overview.Note("t", overview.Status.COMPLETED, start, start, scanned=at[0], completed=at[1])

    assert statistics.busy_seconds([note(0, 10), note(5, 20), note(6, 7), note(30, 31)], start) == 21
    assert statistics.busy_seconds([], start) == 0


async def test_the_overview_counts_all_and_shows_the_newest(line: Line, views: Any) -> None:
    made = []
    for _ in range(5):
        line.time.pass_by(1)
        made.append(await ledgers.create(line.book))
    await line.book.tasks.cancel(made[0])

    told = await views.GetTaskOverview(monitoring_pb2.GetTaskOverviewRequest(limit=2), None)

    assert [task.task_id for task in told.tasks] == [made[4], made[3]]
    assert (told.by_status["pending"], told.by_status["cancelled"], told.truncated) == (4, 1, False)
    assert len(told.by_status) == 9


async def test_a_view_of_too_many_tasks_says_so(line: Line, views: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "MOST_TASKS", 3)
    for _ in range(4):
        await ledgers.create(line.book)

    told = await views.GetStatistics(monitoring_pb2.GetStatisticsRequest(), None)

    assert (told.tasks, told.truncated) == (3, True)


async def test_open_tasks_are_seen_however_old(line: Line, views: Any) -> None:
    old = await ledgers.scanned(line.book)
    line.time.pass_by(100 * 24 * 3600)

    board = await views.GetDashboard(monitoring_pb2.GetDashboardRequest(hours=1), None)

    assert [pace.task_id for pace in board.active] == [old]
    assert (board.statistics.tasks, board.open_by_status["processing_chunks"]) == (0, 1)


async def test_pace_is_rows_by_time_since_the_scan(line: Line, views: Any) -> None:
    task_id = await finished(line, seconds=4, indexed=100)
    line.time.pass_by(1_000)

    pace = await views.GetTaskProgress(monitoring_pb2.GetTaskProgressRequest(task_id=task_id), None)

    assert (pace.rows_per_second, pace.status, pace.progress.processed_records) == (25, "completed", 100)


async def test_stopping_answers_the_cancelled_task_and_then_refuses(line: Line, views: Any) -> None:
    task_id = await ledgers.scanned(line.book)
    request = monitoring_pb2.StopTaskRequest(task_id=task_id)

    assert (await views.StopTask(request, None)).status == "cancelled"
    with pytest.raises(errors.Conflict):
        await views.StopTask(request, None)


async def test_healing_closes_what_a_crash_kept_open(line: Line, views: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await ledgers.scanned(line.book, rows=1)
    await line.book.shards.open(whole, 0)
    await line.book.closing.settle(whole, 0, ledgers.good())

    async def dies(task: Any) -> Any:
        return task

    with monkeypatch.context() as crash:
        crash.setattr(line.book.closing, "close", dies)
        await line.book.closing.seal(whole, 1, 1)
    await ledgers.scanned(line.book)

    told = await views.HealTasks(monitoring_pb2.HealTasksRequest(), None)

    assert (told.looked_at, list(told.healed_task_ids)) == (2, [whole])
    assert (await line.book.tasks.get(whole))["status"] == "completed"
    assert not (await views.HealTasks(monitoring_pb2.HealTasksRequest(), None)).healed_task_ids


async def test_gauges_show_open_blocked_and_stalled_tasks(line: Line) -> None:
    await ledgers.scanned(line.book)
    await ledgers.create(line.book)
    await line.book.tasks.block(await ledgers.create(line.book), "CAP", "m")
    line.time.pass_by(STALL_SECONDS + 1)

    await gauges.Gauges(line.book, STALL_SECONDS).refresh()

    value = prometheus_client.REGISTRY.get_sample_value
    assert value("vectorline_tasks", {"status": "blocked"}) == 1
    assert value("vectorline_tasks", {"status": "pending"}) == 1
    assert value("vectorline_tasks_blocked", {"reason": "CAP"}) == 1
    assert value("vectorline_tasks_stalled", {"reason": "embedders"}) == 1
    assert value("vectorline_tasks_stalled", {"reason": "ingest"}) == 1
    assert value("vectorline_tasks_stalled", {"reason": "pinecone"}) == 0
    assert value("vectorline_tasks_oldest_open_seconds") == STALL_SECONDS + 1
    assert value("vectorline_tasks_oldest_waiting_seconds") == STALL_SECONDS + 1


async def test_a_stalled_task_is_logged_once_and_once_more_when_it_goes_on(line: Line) -> None:
    task_id = await ledgers.scanned(line.book)
    line.time.pass_by(STALL_SECONDS + 1)
    watched = gauges.Gauges(line.book, STALL_SECONDS)

    with structlog.testing.capture_logs() as logged:
        await watched.refresh()
        await watched.refresh()
        await line.book.tasks.block(task_id, "CAP", "m")  # it waits for somebody now, which its status says
        await watched.refresh()

    assert [(each["action"], each["task_id"]) for each in logged if "stalled" in each["action"]] == [
        ("task_stalled", task_id),
        ("task_stalled_over", task_id),
    ]


@pytest.mark.parametrize("hours", [0, 745])
async def test_hours_are_bounded(views: Any, hours: int) -> None:
    with pytest.raises(errors.InvalidArgument):
        await views.GetDashboard(monitoring_pb2.GetDashboardRequest(hours=hours), None)


async def test_metrics_are_our_own_numbers(views: Any) -> None:
    told = await views.GetMetrics(monitoring_pb2.GetMetricsRequest(), None)

    assert told.metrics
    assert all(each.name.startswith("vectorline_") and not each.name.endswith("_bucket") for each in told.metrics)
