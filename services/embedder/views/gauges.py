"""Queue, workers and limiter as gauges for alarms, refreshed by a slow loop. Every embedder shows the same numbers."""

import asyncio
from typing import NoReturn

import structlog

from services.chunks import errors as queue_errors
from services.embedder.limiter import promise
from services.embedder.views import looks
from services.runtime import metrics

log = structlog.get_logger()

REFRESH_SECONDS = 15.0
MAX = metrics.Over.MAX  # every embedder sees the same queue and the same limiter

CHUNKS = metrics.gauge(
    "vectorline_queue_chunks",
    "Chunks in the queue: waiting, or pending (an embedder has it).",
    ["lane", "state"],
    over=MAX,
)
BYTES = metrics.gauge("vectorline_queue_bytes", "Bytes of all entries of the queue.", over=MAX)
MOST_BYTES = metrics.gauge("vectorline_queue_bytes_limit", "Bytes of entries at which ingest waits.", over=MAX)
OLDEST = metrics.gauge("vectorline_queue_oldest_seconds", "Age of the oldest chunk; 0: there is none.", over=MAX)
SLOTS = metrics.gauge("vectorline_worker_slots", "Slots of all live embedders.", ["state"], over=MAX)
WORKERS = metrics.gauge("vectorline_workers", "Embedders that announce themselves.", over=MAX)
BLOCKED = metrics.gauge("vectorline_account_blocked", "1 while the OpenAI account refuses.", over=MAX)
FACTOR = metrics.gauge("vectorline_limiter_factor", "What 429s have brought the limits down to; 1: nothing.", over=MAX)
PAUSE = metrics.gauge(
    "vectorline_limiter_pause_seconds", "How long a 429 still stops everybody; 0: nothing does.", over=MAX
)
REQUESTS = metrics.gauge(
    "vectorline_limiter_requests_per_second",
    "Requests that may start a second now, as configured or learned; 0: any number.",
    over=MAX,
)
TOKENS = metrics.gauge(
    "vectorline_limiter_tokens_per_second",
    "Tokens that may be sent a second now, as configured or learned; 0: any number.",
    over=MAX,
)


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
        MOST_BYTES.set(queue.most_bytes)
        OLDEST.set(queue.oldest_seconds)
        WORKERS.set(len(queue.workers))
        SLOTS.labels("active").set(queue.active)
        SLOTS.labels("available").set(queue.available)
        state = await self._looks.limiter()
        BLOCKED.set(1 if state.blocked else 0)
        FACTOR.set(state.factor)
        PAUSE.set(state.pause_seconds)
        REQUESTS.set(state.requests_per_second)
        TOKENS.set(state.tokens_per_second)
