"""Spans around calls of other services, and the header by which those go on with the trace.

For interceptors of our own: contrib's for grpc.aio break streams, and one more in the chain of a channel is paid with
each call. A call that is streamed both ways (IndexChunk) has none,
since an intercepted one hands its messages over by a queue; whoever makes it uses `calling` itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import grpc

from services.runtime.tracing import spans


async def unary(continuation: Callable[..., Any], details: grpc.aio.ClientCallDetails, request: Any) -> Any:
    """A call of one answer: in a span, where what is under way is recorded; with the header wherever there is one."""
    if not spans.current():
        return await continuation(details, request)
    with calling(details.method) as span:
        call = await continuation(adding(details, header()), request)
        code = await call.code()
        span.set("rpc.grpc.status_code", code.value[0])
        return call


async def streamed(continuation: Callable[..., Any], details: grpc.aio.ClientCallDetails, request: Any) -> Any:
    """The same of a call that answers with a stream, until it stands: its length is its reader's business."""
    if not spans.current():
        return await continuation(details, request)
    with calling(details.method):
        return await continuation(adding(details, header()), request)


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
