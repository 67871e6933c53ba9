"""The monitoring half of IndexerService: what operators ask about tasks."""

import asyncio
import os
import time
from collections.abc import Iterable
from typing import Final

import prometheus_client
from vectorline.v1 import indexer_pb2_grpc, monitoring_pb2, task_pb2

from services.indexer import ledger, settings
from services.indexer.ledger import items
from services.indexer.storage import clock, table
from services.indexer.tasks import anomalies, bills, overview, statistics
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors
from services.runtime.interceptors.around import Context

DEFAULT_HOURS: Final = 24
MOST_HOURS: Final = 744  # 31 days
DEFAULT_TASKS: Final = 100
MOST_TASKS: Final = 1_000
DASHBOARD_ACTIVE: Final = 20
DASHBOARD_RECENT: Final = 10
HEALED_AT_ONCE: Final = 8
PREFIX: Final = "vectorline_"

_STARTED: Final = time.time()


class MonitoringServicer(indexer_pb2_grpc.IndexerServiceServicer):
    """Views of the caller's own tasks, for an admin of everybody's."""

    def __init__(self, tasks: task_servicer.TaskServicer, book: ledger.Ledger, rules: settings.LedgerSettings) -> None:
        self._tasks = tasks
        self._ledger = book
        self._rules = rules

    async def StopTask(self, request: monitoring_pb2.StopTaskRequest, context: Context) -> task_pb2.Task:
        """Cancel a task, and answer it."""
        await self._tasks.visible(request.task_id)
        (message,) = await self._tasks.messages([await self._ledger.tasks.cancel(request.task_id)])
        return message

    async def GetTaskOverview(
        self, request: monitoring_pb2.GetTaskOverviewRequest, context: Context
    ) -> monitoring_pb2.TaskOverview:
        """The tasks of the last hours by status."""
        limit = request.limit if request.HasField("limit") else DEFAULT_TASKS
        bad = task_servicer.bad_range("limit", limit, 1, MOST_TASKS)
        seen = await self._look(request, bad)
        answer = monitoring_pb2.TaskOverview(
            hours=seen.hours,
            by_status=overview.by_status(note.status for note in seen.notes),
            truncated=seen.truncated,
        )
        room = task_servicer.PAGE_BYTES
        for start in range(0, min(limit, len(seen.notes)), task_servicer.SHOWN_AT_ONCE):
            for message in await self._messages(seen.notes[start : min(limit, start + task_servicer.SHOWN_AT_ONCE)]):
                room -= message.ByteSize()
                if room < 0:
                    answer.truncated = True
                    return answer
                answer.tasks.append(message)
        return answer

    async def GetTaskProgress(
        self, request: monitoring_pb2.GetTaskProgressRequest, context: Context
    ) -> monitoring_pb2.TaskPace:
        """How far a task is."""
        (pace,) = await self._paces([await self._tasks.visible(request.task_id)])
        return pace

    async def GetActiveProgress(
        self, request: monitoring_pb2.GetActiveProgressRequest, context: Context
    ) -> monitoring_pb2.ActiveProgress:
        """How far the open tasks are."""
        seen = await overview.read(self._ledger, 0, task_servicer.client())
        active = _open(seen)
        return monitoring_pb2.ActiveProgress(tasks=await self._active(active[:MOST_TASKS]), total=len(active))

    async def GetStatistics(
        self, request: monitoring_pb2.GetStatisticsRequest, context: Context
    ) -> monitoring_pb2.Statistics:
        """What came of the tasks of the last hours."""
        return statistics.of(await self._look(request))

    async def GetBill(self, request: monitoring_pb2.GetBillRequest, context: Context) -> monitoring_pb2.BillOverview:
        """What was spent by day, key and namespace."""
        hours = request.hours if request.HasField("hours") else DEFAULT_HOURS
        task_servicer.refuse(task_servicer.bad_range("hours", hours, 1, MOST_HOURS))
        now = self._ledger.clock.now()
        sums = await self._ledger.spending.days.read(bills.days_of(now, hours))
        return bills.overview(sums, hours, task_servicer.client(), self._tasks.prices)

    async def GetAnomalies(
        self, request: monitoring_pb2.GetAnomaliesRequest, context: Context
    ) -> monitoring_pb2.Anomalies:
        """What is not as it should be."""
        seen = await self._look(request)
        return monitoring_pb2.Anomalies(hours=seen.hours, anomalies=anomalies.of(seen, self._rules.stall_seconds))

    async def GetDashboard(
        self, request: monitoring_pb2.GetDashboardRequest, context: Context
    ) -> monitoring_pb2.Dashboard:
        """Everything at a glance."""
        seen = await self._look(request)
        active = _open(seen)
        counts = overview.by_status(note.status for note in seen.notes)
        answer = monitoring_pb2.Dashboard(
            statistics=statistics.of(seen),
            open_by_status={str(each): counts[str(each)] for each in (*items.OPEN, items.Status.BLOCKED)},
            active=await self._active(active[:DASHBOARD_ACTIVE]),
            recent=await self._messages(seen.notes[:DASHBOARD_RECENT]),
            anomalies=anomalies.of(seen, self._rules.stall_seconds),
        )
        answer.timestamp.FromDatetime(seen.now)
        return answer

    async def GetMetrics(self, request: monitoring_pb2.GetMetricsRequest, context: Context) -> monitoring_pb2.Metrics:
        """Counters and gauges of this process."""
        answer = monitoring_pb2.Metrics(process=os.environ.get("PROCESS_NAME", ""), metrics=_metrics())
        answer.since.FromNanoseconds(int(_STARTED * 1e9))
        return answer

    async def HealTasks(
        self, request: monitoring_pb2.HealTasksRequest, context: Context
    ) -> monitoring_pb2.HealTasksResponse:
        """Roll up and close what a crash left undone."""
        seen = await overview.read(self._ledger, 0)
        limit = asyncio.Semaphore(HEALED_AT_ONCE)

        async def heal(task_id: str) -> bool:
            async with limit:
                before = await self._ledger.tasks.get(task_id)
                after = await self._ledger.closing.heal(task_id)
            return any(before[name] != after[name] for name in ("status", "shards_settled"))

        open_ids = [note.task_id for note in _open(seen)]
        healed = await asyncio.gather(*(heal(task_id) for task_id in open_ids))
        return monitoring_pb2.HealTasksResponse(
            looked_at=len(open_ids),
            healed_task_ids=[task_id for task_id, changed in zip(open_ids, healed, strict=True) if changed],
        )

    # ---- inside

    async def _look(
        self,
        request: monitoring_pb2.GetTaskOverviewRequest
        | monitoring_pb2.GetStatisticsRequest
        | monitoring_pb2.GetAnomaliesRequest
        | monitoring_pb2.GetDashboardRequest,
        bad: Iterable[errors.FieldViolation] = (),
    ) -> overview.Overview:
        """The tasks of the hours that were asked for.

        Raises:
            errors.InvalidArgument: Too many hours or none, or what else was found bad.
        """
        hours = request.hours if request.HasField("hours") else DEFAULT_HOURS
        task_servicer.refuse([*task_servicer.bad_range("hours", hours, 1, MOST_HOURS), *bad])
        return await overview.read(self._ledger, hours, task_servicer.client())

    async def _messages(self, notes: list[overview.Note]) -> list[task_pb2.Task]:
        """Tasks as lists show them."""
        return await self._tasks.short(await self._items(notes))

    async def _active(self, notes: list[overview.Note]) -> list[monitoring_pb2.TaskPace]:
        return await self._paces(await self._items(notes))

    async def _items(self, notes: list[overview.Note]) -> list[table.Item]:
        return await self._ledger.tasks.get_many([note.task_id for note in notes])

    async def _paces(self, found: list[table.Item]) -> list[monitoring_pb2.TaskPace]:
        counts = await self._ledger.progress(found)
        now = self._ledger.clock.now()
        shown = await self._tasks.render(found, counts, now)
        return [
            _pace(message, _seconds(task, now.timestamp()), count.rows)
            for task, message, count in zip(found, shown, counts, strict=True)
        ]


def _open(seen: overview.Overview) -> list[overview.Note]:
    return [note for note in seen.notes if note.status in items.OPEN]


def _seconds(task: table.Item, now: float) -> float:
    """From the end of its scan to its end, or to now; 0 before."""
    if "scanned_at" not in task:
        return 0.0
    end = clock.parse(task["completed_at"]).timestamp() if task["status"] in items.TERMINAL else now
    return max(0.0, end - clock.parse(task["scanned_at"]).timestamp())


def _pace(task: task_pb2.Task, seconds: float, rows: int) -> monitoring_pb2.TaskPace:
    pace = monitoring_pb2.TaskPace(
        task_id=task.task_id,
        status=task.status,
        progress=task.progress,
        rows_per_second=rows / seconds if seconds else 0.0,
    )
    for name in ("started_at", "stalled_since"):
        if task.HasField(name):
            getattr(pace, name).CopyFrom(getattr(task, name))
    if task.metadata.HasField("estimated_completion_time"):
        pace.estimated_completion_time.CopyFrom(task.metadata.estimated_completion_time)
    return pace


def _metrics() -> list[monitoring_pb2.Metric]:
    return [
        monitoring_pb2.Metric(name=sample.name, labels=sample.labels, value=sample.value)
        for family in prometheus_client.REGISTRY.collect()
        if family.name.startswith(PREFIX)
        for sample in family.samples
        # How long calls took is a matter of histograms, which Prometheus draws.
        if not sample.name.endswith(("_bucket", "_created"))
    ]
