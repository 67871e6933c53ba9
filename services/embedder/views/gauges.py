"""Queue, workers and limiter as gauges for alarms, refreshed by a slow loop. Every embedder shows the same numbers."""

import asyncio
from typing import NoReturn

import prometheus_client
import structlog

from services.chunks import errors as queue_errors
from services.embedder.limiter import promise
from services.embedder.views import looks

log = structlog.get_logger()

REFRESH_SECONDS = 15.0

CHUNKS = prometheus_client.Gauge("vectorline_queue_chunks", "Chunks in the queue.", ["lane", "state"])
BYTES = prometheus_client.Gauge("vectorline_queue_bytes", "Bytes of all entries of the queue.")
OLDEST = prometheus_client.Gauge("vectorline_queue_oldest_seconds", "Age of the oldest chunk; 0: there is none.")
SLOTS = prometheus_client.Gauge("vectorline_worker_slots", "Slots of all live embedders.", ["state"])
BLOCKED = prometheus_client.Gauge("vectorline_account_blocked", "1 while the OpenAI account refuses.")
FACTOR = prometheus_client.Gauge("vectorline_limiter_factor", "What 429s have brought the limits down to; 1: nothing.")


class Gauges:
    """Keeps the gauges up to date. What does not answer keeps its last numbers."""

    def __init__(self, seen: looks.Looks) -> None:
        self._looks = seen

    async def run(self) -> NoReturn:
        """Refresh for ever."""
        while True:
            try:
                await self.refresh()
            except (queue_errors.QueueUnavailable, promise.LimiterUnavailable) as error:
                log.warning("The gauges could not be refreshed.", action="gauges_stale", error=str(error))
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Look once.

        Raises:
            queue_errors.QueueUnavailable: Valkey does not serve.
            promise.LimiterUnavailable: The same.
        """
        queue = await self._looks.overview()
        for lane, view in queue.lanes.items():
            CHUNKS.labels(lane.value, "waiting").set(view.waiting)
            CHUNKS.labels(lane.value, "pending").set(view.entries - view.waiting)
        BYTES.set(queue.bytes)
        OLDEST.set(queue.oldest_seconds)
        SLOTS.labels("active").set(queue.active)
        SLOTS.labels("available").set(queue.available)
        state = await self._looks.limiter()
        BLOCKED.set(1 if state.blocked else 0)
        FACTOR.set(state.factor)
