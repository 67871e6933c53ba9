"""A log line and a measurement for each call."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import grpc
import prometheus_client
import structlog

from services.runtime import metrics
from services.runtime.interceptors import around

log = structlog.get_logger()

CALLS = prometheus_client.Counter("vectorline_rpc_calls", "Calls served.", ["method", "code"])
SECONDS = prometheus_client.Histogram("vectorline_rpc_seconds", "Seconds a call took.", ["method"])

# Asked every second by Envoy.
HEALTH = "/grpc.health.v1."


class Journal(around.Around):
    """Outermost: sees the code that the other interceptors settled on.

    Args:
        quiet: How methods begin ("/package.Service/Method") that are counted, but logged only when they fail.
    """

    def __init__(self, quiet: Sequence[str] = ()) -> None:
        self._quiet = (HEALTH, *quiet)

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: around.Context) -> AsyncIterator[None]:
        """Measure the call."""
        began = time.monotonic()
        ended_by: BaseException | None = None
        try:
            yield
        except BaseException as error:
            ended_by = error
            raise
        finally:
            seconds = time.monotonic() - began
            code = name(context.code())
            if code == "OK" and isinstance(ended_by, asyncio.CancelledError):
                code = "CANCELLED"  # the caller went, or its deadline came
            metrics.child(CALLS, method, code).inc()
            metrics.child(SECONDS, method).observe(seconds)
            if code != "OK" or not method.startswith(self._quiet):
                log.info("Served a call.", action="rpc", method=method, code=code, ms=round(seconds * 1000, 1))


def name(code: object) -> str:
    """A status in words: the context holds a StatusCode, its number, or nothing yet for a call that went well."""
    if isinstance(code, grpc.StatusCode):
        return code.name
    for each in grpc.StatusCode:
        if each.value[0] == code:
            return each.name
    return "OK"
