"""Requests are decoded behind authentication, and one that cannot be is told so in our words.

gRPC would decode before any interceptor is asked: bytes of whom nobody knows, answered with the library's own error.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import message

from services.runtime import errors
from services.runtime.interceptors import around
from services.runtime.interceptors.around import Context, Handler

Decode = Callable[[bytes], Any]


class Decoding(grpc.aio.ServerInterceptor):
    """Moves the decoding of requests into the call. The innermost interceptor: behind who asks, before what answers."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler that grpc found, unless it takes bytes."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        kind = around.kind_of(handler)
        behaviour, decode = getattr(handler, kind), handler.request_deserializer
        decoded = _each if handler.request_streaming else _one

        def answer(request: Any, context: Context) -> Any:
            return behaviour(decoded(request, decode), context)

        factory = getattr(grpc, f"{kind}_rpc_method_handler")
        return factory(answer, None, handler.response_serializer)


def _one(request: bytes, decode: Decode) -> Any:
    try:
        return decode(request)
    except message.DecodeError as error:
        words = "The request is no message of this method, or a text in it is not UTF-8."
        raise errors.InvalidArgument(words, reason="MALFORMED_MESSAGE") from error


async def _each(requests: AsyncIterator[bytes], decode: Decode) -> AsyncIterator[Any]:
    async for request in requests:
        yield _one(request, decode)
