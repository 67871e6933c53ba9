"""Every call of the client: its channel, its deadline, its key, and its errors as types."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from google.protobuf import message

from vectorline_client import connection, errors, wire
from vectorline_client._async import platform


class AsyncCalls:
    """Calls methods by name. Raises errors.ApiError and those below it, never an error of grpc.

    Args:
        target: Where the line is.
        api_key: Sent with every call; empty: none is sent.
    """

    def __init__(self, target: connection.Target, api_key: str) -> None:
        self._target = target
        self._metadata = (("x-api-key", api_key),) if api_key else ()
        self._channels: dict[str, platform.Channel] = {}

    async def close(self) -> None:
        """Close what was opened."""
        while self._channels:
            _, channel = self._channels.popitem()
            await channel.close()

    async def unary(self, name: str, fields: Mapping[str, Any], timeout: float) -> message.Message:
        """One request, one answer. What is sent again after a broken connection makes one task all the same."""
        method = wire.method(name)
        request = wire.request(method, fields)
        connection.identify(name, request)
        call = self._channel(method).unary_unary(
            method.path, method.request.SerializeToString, method.answer.FromString
        )
        with self._translated(method):
            made: message.Message = await call(request, timeout=timeout, metadata=self._metadata)
        return made

    async def stream(self, name: str, fields: Mapping[str, Any], timeout: float) -> AsyncIterator[message.Message]:
        """One request, many answers. A caller that stops early leaves no open call behind."""
        method = wire.method(name)
        call = self._channel(method).unary_stream(
            method.path, method.request.SerializeToString, method.answer.FromString
        )
        answers = call(wire.request(method, fields), timeout=timeout, metadata=self._metadata)
        try:
            with self._translated(method):
                async for each in answers:
                    yield each
        finally:
            answers.cancel()

    async def upload(self, name: str, messages: AsyncIterator[message.Message], timeout: float) -> message.Message:
        """Many requests, one answer. Raises what reading the requests raises."""
        method = wire.method(name)
        channel = self._channel(method)
        with self._translated(method):
            made: message.Message = await platform.stream_unary(
                channel, self._target, method, messages, timeout=timeout, metadata=self._metadata
            )
        return made

    def _channel(self, method: wire.Method) -> platform.Channel:
        address = self._target.address(method.service)  # behind a gateway one channel is enough
        if address not in self._channels:
            self._channels[address] = platform.dial(self._target, method.service)
        return self._channels[address]

    @contextlib.contextmanager
    def _translated(self, method: wire.Method) -> Any:
        try:
            yield
        except grpc.RpcError as error:
            address = self._target.address(method.service)
            raise errors.from_call(error, method.service, address) from error
