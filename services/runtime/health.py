"""Health as load balancers ask for it (grpc.health.v1), per full service name, following the dependencies."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.runtime import metrics

log = structlog.get_logger()

UP = metrics.gauge(
    "vectorline_dependency_up",
    "1 while what this process needs answers its probe.",
    ["dependency"],
    over=metrics.Over.EACH,
)

PROBE_SECONDS = 1.0
PROBE_TIMEOUT_SECONDS = 3.0
# One slow answer of a dependency is no reason to leave the load balancer.
FAILURES_TO_LEAVE = 3


class NotServingError(ConnectionError):
    """Another service is there and says NOT_SERVING: it begins, or is about to leave."""


@dataclasses.dataclass(frozen=True)
class Dependency:
    """What a service needs. At start all must answer; afterwards only a vital one takes the service out."""

    probe: Callable[[], Awaitable[object]]
    vital: bool = True


class Health:
    """Keeps the status of service names up to date."""

    def __init__(self, names: tuple[str, ...], dependencies: Mapping[str, Dependency]) -> None:
        self.servicer = health.aio.HealthServicer()
        self._names = ("", *names)
        self._dependencies = dependencies
        self._failures: dict[str, int] = {}
        self._serving: bool | None = None
        self._started = False

    async def watch(self) -> None:
        """Probe the dependencies for ever."""
        while True:
            await self._round()
            await asyncio.sleep(PROBE_SECONDS)

    async def leave(self) -> None:
        """NOT_SERVING for good: the process is about to stop."""
        await self.servicer.enter_graceful_shutdown()

    async def begin(self) -> None:
        """NOT_SERVING until the dependencies answer."""
        await self._set(serving=False)

    async def _round(self) -> None:
        names = list(self._dependencies)
        answers = await asyncio.gather(*(self._ask(name) for name in names))
        for name, answered in zip(names, answers, strict=True):
            UP.labels(name).set(answered)
            self._failures[name] = 0 if answered else self._failures.get(name, 0) + 1
        if not self._started:
            self._started = all(answers)
            await self._set(serving=self._started)
            return
        gone = [
            name
            for name, failures in self._failures.items()
            if failures >= FAILURES_TO_LEAVE and self._dependencies[name].vital
        ]
        await self._set(serving=not gone)

    async def _ask(self, name: str) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                await self._dependencies[name].probe()
        except NotServingError:
            # Whoever leaves serves until callers have turned away, and another has its place by then. Did its callers
            # leave with it, one replica that is replaced would take all of them from their load balancer.
            return self._started
        except Exception as error:  # whatever a client library raises, the dependency did not answer
            if self._failures.get(name, 0) % 30 == 0:
                log.warning(
                    "A dependency does not answer.", action="dependency_down", dependency=name, error=_words(error)
                )
            return False
        return True

    async def _set(self, *, serving: bool) -> None:
        if serving == self._serving:
            return
        if self._serving is not None:
            log.info("Health changed.", action="health", serving=serving)
        self._serving = serving
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self.servicer.set(name, status)


def _words(error: BaseException) -> str:
    """Our sentence, and behind it what a library said, which only the log may tell."""
    return f"{error} ({error.__cause__})" if error.__cause__ is not None else str(error)


async def ask(channel: grpc.aio.Channel, name: str) -> None:
    """Ask another service for its health.

    Raises:
        NotServingError: It is there and says NOT_SERVING.
        grpc.aio.AioRpcError: It does not answer.
    """
    stub: Any = health_pb2_grpc.HealthStub(channel)  # the stubs do not type its methods
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=PROBE_TIMEOUT_SECONDS)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise NotServingError(f"{name} is not serving")
