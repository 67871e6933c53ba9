"""Unfinished tasks as gauges for alarms, refreshed by a slow loop. Every indexer shows the same numbers.

What stalls is logged as well, once when it is seen and once when it goes on: a log must tell why a task took a day.
"""

import asyncio
from typing import NoReturn

import prometheus_client
import structlog

from services.indexer import ledger
from services.indexer.ledger import items
from services.indexer.ledger.items import Status
from services.indexer.tasks import overview
from services.runtime import errors

log = structlog.get_logger()

REFRESH_SECONDS = 30.0

TASKS = prometheus_client.Gauge("vectorline_tasks", "Tasks that are not finished.", ["status"])
STALLED = prometheus_client.Gauge("vectorline_tasks_stalled", "Tasks that settled no chunk for STALL_SECONDS.")
OLDEST_WAITING = prometheus_client.Gauge(
    "vectorline_tasks_oldest_waiting_seconds", "How long the longest waiting task is pending or queued; 0: none."
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
        counts = overview.by_status(seen.notes)
        for status in (*items.OPEN, Status.BLOCKED):
            TASKS.labels(str(status)).set(counts[str(status)])
        self._tell([note for note in seen.notes if note.stalled(seen.now, self._stall_seconds)])
        waits = [note.status_at for note in seen.notes if note.status in (Status.PENDING, Status.QUEUED)]
        OLDEST_WAITING.set((seen.now - min(waits)).total_seconds() if waits else 0.0)

    def _tell(self, stalled: list[overview.Note]) -> None:
        STALLED.set(len(stalled))
        for note in stalled:
            if note.task_id not in self._stalled:
                words = "The task settles no chunk; look at what the embedders wait for."
                log.warning(words, action="task_stalled", task_id=note.task_id, since=note.moved.isoformat())
        still = frozenset(note.task_id for note in stalled)
        for task_id in sorted(self._stalled - still):
            log.info("The task is not stalled any more.", action="task_stalled_over", task_id=task_id)
        self._stalled = still
