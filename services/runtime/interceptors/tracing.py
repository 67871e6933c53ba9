"""A span around each call that is served, as part of its caller's trace. Outermost: log lines within carry its ids."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from services.runtime.interceptors import around, journal
from services.runtime.tracing import spans


class Tracing(around.Around):
    """Goes on with a trace that a call brings along, and begins one for other calls, as far as they are sampled.

    Args:
        quiet: How methods begin that never begin a trace: our own, asked all the time.
    """

    def __init__(self, quiet: Sequence[str] = ()) -> None:
        self._quiet = (journal.HEALTH, *quiet)

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: around.Context) -> AsyncIterator[None]:
        """Open and close the span."""
        parent = next((str(value) for name, value in context.invocation_metadata() or () if name == spans.HEADER), "")
        begins = not method.startswith(self._quiet)
        with spans.served(parent, method.removeprefix("/"), begins=begins) as span:
            try:
                yield
            finally:
                span.set("rpc.grpc.status_code", journal.name(context.code()))
