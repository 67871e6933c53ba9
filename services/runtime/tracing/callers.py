"""Spans around calls of other services, and the header by which those go on with the trace.

Interceptors of our own: contrib's for grpc.aio break streams. A call that is streamed both ways (IndexChunk) has none,
since an intercepted one hands its messages over by a queue; whoever makes it uses `calling` itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import grpc

from services.runtime.tracing import spans


class UnaryCalls(grpc.aio.UnaryUnaryClientInterceptor):
    """Around calls of one answer."""

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """A span, where what is under way is recorded; the header wherever there is one."""
        if not spans.current():
            return await continuation(client_call_details, request)
        with calling(client_call_details.method) as span:
            call = await continuation(adding(client_call_details, header()), request)
            code = await call.code()
            span.set("rpc.grpc.status_code", code.value[0])
            return call


class StreamCalls(grpc.aio.UnaryStreamClientInterceptor):
    """Around calls that answer with a stream: the header, and a span until the call stands."""

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """As `UnaryCalls`; the stream's length is its reader's business."""
        if not spans.current():
            return await continuation(client_call_details, request)
        with calling(client_call_details.method):
            return await continuation(adding(client_call_details, header()), request)


def interceptors() -> Sequence[grpc.aio.ClientInterceptor]:
    """For a channel to another service of the line; none where nothing is recorded."""
    return (UnaryCalls(), StreamCalls()) if spans.on() else ()


def calling(method: str | bytes) -> Any:
    """A span around a call of a method ("/package.Service/Method")."""
    name = method.decode() if isinstance(method, bytes) else method
    return spans.span(name.removeprefix("/"), spans.Kind.CLIENT)


def header() -> tuple[tuple[str, str], ...]:
    """The metadata by which a callee goes on with what is under way here."""
    held = spans.current()
    return ((spans.HEADER, held),) if held else ()


def adding(
    details: grpc.aio.ClientCallDetails, metadata: Sequence[tuple[str, str]], timeout: float | None = None
) -> grpc.aio.ClientCallDetails:
    """A call's details with more metadata; `timeout`: and with this deadline."""
    return grpc.aio.ClientCallDetails(
        method=details.method,
        timeout=timeout or details.timeout,
        metadata=grpc.aio.Metadata(*(details.metadata or ()), *metadata),
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )
