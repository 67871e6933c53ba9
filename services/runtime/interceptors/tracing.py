"""A span around each call that is served, as part of its caller's trace. Outermost: log lines within carry its ids."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
from vectorline.v1 import access_pb2

from services.runtime.interceptors import around, auth, journal
from services.runtime.tracing import spans


class Tracing(around.Around):
    """Goes on with a trace that a call brings along, and begins one for what is asked from outside, as far as sampled.

    What our own services ask of each other without a trace (each chunk's gate and settlement) begins none, and passes
    by all of this.

    Args:
        quiet: How methods begin that never begin a trace.
    """

    def __init__(self, quiet: Sequence[str] = ()) -> None:
        self._quiet = (journal.HEALTH, *quiet)
        self._begins: dict[str, bool] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[around.Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> around.Handler:
        """Nothing where there is nothing to record."""
        if _parent(handler_call_details.invocation_metadata) or self._may_begin(handler_call_details.method):
            return await super().intercept_service(continuation, handler_call_details)
        return await continuation(handler_call_details)

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: around.Context) -> AsyncIterator[None]:
        """Open and close the span."""
        parent = _parent(context.invocation_metadata())
        with spans.served(parent, method.removeprefix("/"), begins=self._may_begin(method)) as span:
            try:
                yield
            finally:
                span.set("rpc.grpc.status_code", journal.name(context.code()))

    def _may_begin(self, method: str) -> bool:
        if method not in self._begins:
            ours = auth.access_of(method) == access_pb2.ACCESS_INTERNAL
            self._begins[method] = not (ours or method.startswith(self._quiet))
        return self._begins[method]


def _parent(metadata: Any) -> str:
    return next((str(value) for name, value in metadata or () if name == spans.HEADER), "")
