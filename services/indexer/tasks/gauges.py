"""Unfinished tasks as gauges for alarms, refreshed by a slow loop. Every indexer shows the same numbers.

What stalls is logged as well, once when it is seen and once when it goes on: a log must tell why a task took a day.
"""

import asyncio
import collections
from typing import NoReturn

import structlog

from services.indexer import ledger
from services.indexer.ledger import items
from services.indexer.ledger.items import Status
from services.indexer.tasks import overview, stalls
from services.reasons import tasks
from services.runtime import errors, metrics

log = structlog.get_logger()

REFRESH_SECONDS = 30.0

MAX = metrics.Over.MAX  # every indexer sees the same tasks
TASKS = metrics.gauge("vectorline_tasks", "Tasks that are not finished.", ["status"], over=MAX)
BLOCKED = metrics.gauge("vectorline_tasks_blocked", "Tasks that wait for a person, by reason.", ["reason"], over=MAX)
# The reasons that there are; shown from 0 on, so that an alarm sees what is over.
for _each in tasks.BLOCKED:
    BLOCKED.labels(_each.name)
STALLED = metrics.gauge(
    "vectorline_tasks_stalled",
    "Open tasks without progress for STALL_SECONDS, by what they wait for; turn (another task goes first) is no fault.",
    ["reason"],
    over=MAX,
)
OLDEST_OPEN = metrics.gauge("vectorline_tasks_oldest_open_seconds", "Age of the oldest open task; 0: none.", over=MAX)
OLDEST_WAITING = metrics.gauge(
    "vectorline_tasks_oldest_waiting_seconds",
    "How long the longest waiting task is pending or queued; 0: none.",
    over=MAX,
)


class Gauges:
    """Keeps the gauges up to date. While the table does not answer they keep their last numbers."""

    def __init__(self, book: ledger.Ledger, stall_seconds: float) -> None:
        self._ledger = book
        self._stall_seconds = stall_seconds
        self._stalled: frozenset[str] = frozenset()

    async def run(self) -> NoReturn:
        """Refresh for ever."""
        while True:
            try:
                await self.refresh()
            except errors.ServiceError as error:
                log.warning("The gauges could not be refreshed.", action="gauges_stale", error=str(error))
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Look once.

        Raises:
            errors.Unavailable: The table does not answer.
        """
        seen = await overview.read(self._ledger, hours=0)
        counts = overview.by_status(note.status for note in seen.notes)
        for status in (*items.OPEN, Status.BLOCKED):
            TASKS.labels(str(status)).set(counts[str(status)])
        self._tell([note for note in seen.notes if note.stalled(seen.now, self._stall_seconds)])
        await self._show_stalled(seen)
        _show_blocked(seen)
        ages = [(seen.now - note.created).total_seconds() for note in seen.notes if note.status in items.OPEN]
        OLDEST_OPEN.set(max(ages, default=0.0))
        waits = [note.status_at for note in seen.notes if note.status in (Status.PENDING, Status.QUEUED)]
        OLDEST_WAITING.set((seen.now - min(waits)).total_seconds() if waits else 0.0)

    async def _show_stalled(self, seen: overview.Overview) -> None:
        """Of every cause, zeros too: an alarm that is over must see that it is."""
        quiet = [note.task_id for note in seen.notes if note.still(seen.now, self._stall_seconds)]
        tasks = await self._ledger.tasks.get_many(quiet)
        counts = await self._ledger.progress(tasks)
        still = await stalls.of(self._ledger, tasks, counts, seen.now, self._stall_seconds)
        causes = collections.Counter(stall.cause for stall in still.values())
        for cause in stalls.Cause:
            STALLED.labels(cause.value).set(causes[cause])

    def _tell(self, stalled: list[overview.Note]) -> None:
        for note in stalled:
            if note.task_id not in self._stalled:
                words = "The task settles no chunk; look at what the embedders wait for."
                log.warning(words, action="task_stalled", task_id=note.task_id, since=note.moved.isoformat())
        still = frozenset(note.task_id for note in stalled)
        for task_id in sorted(self._stalled - still):
            log.info("The task is not stalled any more.", action="task_stalled_over", task_id=task_id)
        self._stalled = still


def _show_blocked(seen: overview.Overview) -> None:
    """By reason; one that was seen before and is over stays, at 0."""
    reasons = collections.Counter(note.error_reason for note in seen.notes if note.status == Status.BLOCKED)
    for labels in [sample.labels for family in BLOCKED.collect() for sample in family.samples]:
        BLOCKED.labels(labels["reason"]).set(reasons.pop(labels["reason"], 0))
    for reason, count in reasons.items():
        BLOCKED.labels(reason).set(count)
