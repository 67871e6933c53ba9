"""Queue, workers and limiter as operators see them, and what in them needs a look."""

from collections.abc import Iterator

from vectorline.v1 import monitoring_pb2

from services.chunks import errors as queue_errors
from services.chunks import views
from services.embedder.limiter import promise
from services.embedder.views import health as health_view
from services.embedder.views import looks
from services.runtime import errors

# Chunks move within seconds; what stands for so long waits for something.
OLD_SECONDS = 600.0
NEARLY_FULL = 0.9


class Monitoring:
    """Looks at the line with an operator's eyes."""

    def __init__(
        self,
        seen: looks.Looks,
        health: health_view.HealthView,
        *,
        model: str,
        configured: promise.Quota,
    ) -> None:
        self._looks = seen
        self._health = health
        self._model = model
        self._configured = configured

    async def workers(self) -> monitoring_pb2.WorkersView:
        """The embedders.

        Raises:
            errors.Unavailable: The queue does not answer.
        """
        return _workers(await self._overview())

    async def queues(self) -> monitoring_pb2.QueuesView:
        """The queue.

        Raises:
            errors.Unavailable: It does not answer.
        """
        return _queues(await self._overview())

    async def limiter(self) -> monitoring_pb2.LimiterView:
        """The limiter.

        Raises:
            errors.Unavailable: It does not answer.
        """
        try:
            state = await self._looks.limiter()
        except promise.LimiterUnavailable as error:
            raise errors.Unavailable("The limiter does not answer now.", retry_seconds=1.0) from error
        view = monitoring_pb2.LimiterView(
            model=self._model,
            requests_per_second=state.requests_per_second,
            configured_requests_per_second=self._configured.requests_per_second,
            tokens_per_minute=state.tokens_per_second * 60,
            configured_tokens_per_minute=self._configured.tokens_per_minute,
            factor=state.factor,
            pause_seconds=state.pause_seconds,
            next_start_seconds=state.next_seconds,
            blocked=bool(state.blocked),
            permits=state.permits,
            refused=state.refused,
        )
        if state.blocked:
            view.blocked_reason = state.blocked
        return view

    async def health(self) -> monitoring_pb2.DetailedHealth:
        """Everything at once; what does not answer is left out and named."""
        told = await self._health.look()
        detailed = monitoring_pb2.DetailedHealth(
            status=told.status, version=told.version, environment=told.environment, services=told.services
        )
        detailed.problems.extend(
            f"{name} does not answer." for name, s in sorted(told.services.items()) if s != "healthy"
        )
        try:
            overview = await self._overview()
            detailed.workers.CopyFrom(_workers(overview))
            detailed.queues.CopyFrom(_queues(overview))
            detailed.limiter.CopyFrom(await self.limiter())
        except errors.Unavailable:
            return detailed
        detailed.problems.extend(_problems(detailed))
        return detailed

    async def _overview(self) -> views.Overview:
        try:
            return await self._looks.overview()
        except queue_errors.QueueUnavailable as error:
            raise errors.Unavailable("The queue does not answer now.", retry_seconds=1.0) from error


def _workers(overview: views.Overview) -> monitoring_pb2.WorkersView:
    each = [
        monitoring_pb2.Worker(name=worker.name, active=worker.active, available=worker.available)
        for worker in overview.workers
    ]
    return monitoring_pb2.WorkersView(workers=each, active=overview.active, available=overview.available)


def _queues(overview: views.Overview) -> monitoring_pb2.QueuesView:
    lanes = [
        monitoring_pb2.Queue(
            name=name.value,
            waiting=lane.waiting,
            pending=lane.entries - lane.waiting,
            bytes=lane.bytes,
            oldest_seconds=lane.oldest_seconds,
        )
        for name, lane in overview.lanes.items()
    ]
    return monitoring_pb2.QueuesView(
        queues=lanes,
        waiting=overview.queued,
        pending=overview.pending,
        bytes=overview.bytes,
        most_bytes=overview.most_bytes,
        oldest_seconds=overview.oldest_seconds,
    )


def _problems(health: monitoring_pb2.DetailedHealth) -> Iterator[str]:
    if not health.workers.workers:
        yield "No embedder announces itself: chunks wait."
    if health.queues.oldest_seconds > OLD_SECONDS:
        yield f"The oldest chunk was published {health.queues.oldest_seconds:.0f} s ago."
    if health.queues.bytes > NEARLY_FULL * health.queues.most_bytes:
        yield "The queue is full: ingest waits for the embedders."
    if health.limiter.blocked:
        yield f"The OpenAI account refuses: {health.limiter.blocked_reason}"
    if health.limiter.pause_seconds:
        yield f"OpenAI asked for a pause; it lasts {health.limiter.pause_seconds:.0f} s more."
    if health.limiter.factor < 1:
        yield f"After 429s the limits are at {health.limiter.factor:.0%}; they climb back by themselves."
