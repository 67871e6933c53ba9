"""The line's health as one answer: services, Valkey, workers and queue."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from vectorline.v1 import embedder_pb2

from services.chunks import errors as queue_errors
from services.chunks import presence
from services.embedder.views import looks
from services.runtime import metrics

log = structlog.get_logger()

PROBE_SECONDS = 2.0


class HealthView:
    """Asks everybody at once. Without the indexer nothing can be answered: unhealthy; without the rest: degraded."""

    def __init__(
        self,
        seen: looks.Looks,
        ingests: presence.Presence,
        probes: Mapping[str, Callable[[], Awaitable[object]]],
        *,
        environment: str,
    ) -> None:
        self._looks = seen
        self._look: looks.Look[embedder_pb2.GetHealthResponse] = looks.Look(self._ask_all)
        self._ingests = ingests
        self._probes = probes
        self._environment = environment

    async def look(self) -> embedder_pb2.GetHealthResponse:
        """The health now, or a second ago: one look answers all who ask meanwhile. Each gets a message of its own."""
        answer = embedder_pb2.GetHealthResponse()
        answer.CopyFrom(await self._look())
        return answer

    async def _ask_all(self) -> embedder_pb2.GetHealthResponse:
        names = list(self._probes)
        answers = await asyncio.gather(*(self._ask(self._probes[name]) for name in names))
        services = {name: "healthy" if good else "unhealthy" for name, good in zip(names, answers, strict=True)}
        services["embedder"] = "healthy"
        workers = embedder_pb2.Workers()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                overview = await self._looks.overview()
                services["ingest"] = "healthy" if await self._ingests.live() else "unhealthy"
            services["valkey"] = "healthy"
            workers = embedder_pb2.Workers(
                active=overview.active, available=overview.available, queued_tasks=overview.queued
            )
        except (queue_errors.QueueUnavailable, TimeoutError):
            services["valkey"] = "unhealthy"
        return embedder_pb2.GetHealthResponse(
            status=_status(services),
            version=metrics.VERSION,
            environment=self._environment,
            workers=workers,
            services=services,
        )

    async def _ask(self, probe: Callable[[], Awaitable[object]]) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await probe()
        except Exception as error:  # whatever it is, it did not answer
            log.warning("A part of the line does not answer.", action="health_probe_failed", error=str(error))
            return False
        return True


def _status(services: Mapping[str, str]) -> str:
    if services.get("indexer") != "healthy":
        return "unhealthy"
    return "healthy" if all(state == "healthy" for state in services.values()) else "degraded"
