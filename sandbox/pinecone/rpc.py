"""The gRPC side: Pinecone's VectorService over raw bytes, so that no vector is ever a Python list."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from sandbox.pinecone import errors, faults, messages, operations, service, splice, versions, wire

# Pinecone's own limit of 2 MB is checked in `limits.py`, with its own words; this one only has to be larger.
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.lookahead_bytes", 4 * 1024 * 1024),
    ("grpc.so_reuseport", 0),
)
_CODES = {code.value[0]: code for code in grpc.StatusCode}

Context = grpc.aio.ServicerContext[bytes, bytes]
Headers = dict[str, str]
Answering = Callable[[int, bytes, str], Awaitable[tuple[bytes, Headers]]]


class VectorService(grpc.GenericRpcHandler):
    """Serves `/VectorService/*`."""

    def __init__(self, backend: service.Service) -> None:
        """Make a handler for each method."""
        self._backend = backend
        self.connections: splice.Splice | None = None
        methods: dict[str, Answering] = {name: self._caller(name) for name in operations.OPERATIONS}
        methods["Upsert"] = self._upsert
        self._handlers: dict[str, Any] = {
            f"/VectorService/{name}": grpc.unary_unary_rpc_method_handler(self._guarded(method))
            for name, method in methods.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Find the handler of a method; None answers UNIMPLEMENTED."""
        return self._handlers.get(str(handler_call_details.method))

    async def _upsert(self, door: int, body: bytes, version: str) -> tuple[bytes, Headers]:
        answer = await self._backend.upsert(door, wire.parse_upsert(body), "grpc", version)
        headers = answer.pop(operations.HEADERS, {})
        return messages.encode(messages.ANSWERS["Upsert"], answer), headers

    def _caller(self, name: str) -> Answering:
        async def call(door: int, body: bytes, version: str) -> tuple[bytes, Headers]:
            request = messages.decode(messages.REQUESTS[name], body)
            answer = await self._backend.call(door, name, request, "grpc", size_bytes=len(body), version=version)
            headers = answer.pop(operations.HEADERS, {})
            return messages.encode(messages.ANSWERS[name], _as_bytes(answer)), headers

        return call

    def _guarded(self, method: Answering) -> Callable[[bytes, Context], Awaitable[bytes]]:
        """Wrap a method: check the key, find the index's door, turn errors into a status."""

        async def handle(body: bytes, context: Context) -> bytes:
            peer = context.peer()
            door = self.connections.door_of_peer(peer) if self.connections else 0
            try:
                self._backend.check_key(_header(context, "api-key"))
                return await _answered(method, door, body, context)
            except errors.ApiError as error:
                trailing = tuple(error.headers().items())
                await context.abort(_CODES[int(error.code)], error.message, trailing)
            except wire.WireError as error:
                await context.abort(grpc.StatusCode.INTERNAL, f"failed to decode Protobuf message: {error}")
            except faults.ConnectionResetFault:
                if self.connections:
                    self.connections.drop(peer)
                await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
            raise AssertionError("abort() raises")

        return handle


async def _answered(method: Answering, door: int, body: bytes, context: Context) -> bytes:
    answer, headers = await method(door, body, versions.served(_header(context, versions.HEADER)))
    await context.send_initial_metadata(tuple(headers.items()))
    return answer


def _header(context: Context, name: str) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return value if isinstance(value, str) else value.decode()
    return None


def _as_bytes(answer: dict[str, Any]) -> dict[str, Any]:
    """Turn the float32 arrays of an answer into the bytes of packed floats."""
    vectors = answer.get("vectors")
    items = answer.get("matches") or (vectors.values() if isinstance(vectors, dict) else ())
    for item in items:
        if "values" in item:
            item["values"] = item["values"].tobytes()
    return answer


async def start(handler: VectorService) -> tuple[grpc.aio.Server, int]:
    """Start the server on a loopback port of its own; return both."""
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port(f"{splice.HOST}:0")
    await server.start()
    return server, port
