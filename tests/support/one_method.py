"""A gRPC server with one method behind interceptors, and the client's side of it."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc

METHOD = "/test.Service/Call"


@contextlib.asynccontextmanager
async def served(
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    kind: str,
    behaviour: Callable[..., Any],
    decode: Callable[[bytes], Any] | None = None,
    encode: Callable[[Any], bytes] | None = None,
) -> AsyncIterator[Any]:
    """One method of a kind (unary_unary, …), on bytes unless told otherwise; yields the client's side, on bytes."""
    server = grpc.aio.server(interceptors=interceptors)
    handler = getattr(grpc, f"{kind}_rpc_method_handler")(behaviour, decode, encode)
    server.add_registered_method_handlers("test.Service", {"Call": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield getattr(channel, kind)(METHOD)
    finally:
        await server.stop(None)
