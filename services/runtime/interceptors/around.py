"""One way to put something around every kind of gRPC handler."""

import abc
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

Handler = Any  # grpc.RpcMethodHandler: a namedtuple-like without a usable type
Context = grpc.aio.ServicerContext[Any, Any]


class Around(grpc.aio.ServerInterceptor, abc.ABC):
    """An interceptor that is an async context manager around the call, unary or streamed."""

    @abc.abstractmethod
    def around(self, method: str, context: Context) -> contextlib.AbstractAsyncContextManager[None]:
        """What happens before and after the call of `method` ("/package.Service/Method")."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler that grpc found."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return _wrap(handler, self, handler_call_details.method)


def kind_of(handler: Handler) -> str:
    """What grpc calls this kind of method: unary_unary, unary_stream, stream_unary or stream_stream."""
    asked, answered = handler.request_streaming, handler.response_streaming
    return f"{'stream' if asked else 'unary'}_{'stream' if answered else 'unary'}"


def _wrap(handler: Handler, interceptor: Around, method: str) -> Handler:
    kind = kind_of(handler)
    behaviour = getattr(handler, kind)

    async def answer(request: Any, context: Context) -> Any:
        async with interceptor.around(method, context):
            return await behaviour(request, context)

    async def answers(request: Any, context: Context) -> AsyncIterator[Any]:
        async with interceptor.around(method, context):
            result = behaviour(request, context)
            if inspect.isasyncgen(result):
                async with contextlib.aclosing(result):
                    async for message in result:
                        yield message
            else:  # the health servicer's Watch writes by itself
                await result

    factory = getattr(grpc, f"{kind}_rpc_method_handler")
    return factory(
        answers if handler.response_streaming else answer, handler.request_deserializer, handler.response_serializer
    )
