"""Requests are decoded inside the call: behind authentication, in every kind of method, and told of in our words."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2

from services.runtime.interceptors import decoding, failures
from tests.support import one_method

TEXT = wrappers_pb2.StringValue(value="a")
BROKEN = b"\x0a\x01\xff"  # a field 1 that is not UTF-8


def served(kind: str, behaviour: Callable[..., Any]) -> contextlib.AbstractAsyncContextManager[Any]:
    """One method of a kind on StringValues."""
    value = wrappers_pb2.StringValue
    interceptors = [failures.Failures(), decoding.Decoding()]
    return one_method.served(interceptors, kind, behaviour, value.FromString, value.SerializeToString)


async def one(request: wrappers_pb2.StringValue, context: Any) -> wrappers_pb2.StringValue:
    return wrappers_pb2.StringValue(value=request.value * 2)


async def many(request: wrappers_pb2.StringValue, context: Any) -> AsyncIterator[wrappers_pb2.StringValue]:
    yield request
    yield request


async def joined(requests: AsyncIterator[wrappers_pb2.StringValue], context: Any) -> wrappers_pb2.StringValue:
    return wrappers_pb2.StringValue(value="".join([each.value async for each in requests]))


async def test_a_message_arrives_decoded() -> None:
    async with served("unary_unary", one) as ask:
        assert wrappers_pb2.StringValue.FromString(await ask(TEXT.SerializeToString())).value == "aa"
    async with served("unary_stream", many) as ask:
        assert len([each async for each in ask(TEXT.SerializeToString())]) == 2
    async with served("stream_unary", joined) as ask:
        answer = await ask(iter([TEXT.SerializeToString()] * 3))
        assert wrappers_pb2.StringValue.FromString(answer).value == "aaa"


async def test_one_that_cannot_be_decoded_is_a_bad_request() -> None:
    async with served("unary_unary", one) as ask:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(BROKEN)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "UTF-8" in str(caught.value.details())


async def test_in_a_stream_it_ends_the_call_where_it_stands() -> None:
    async with served("stream_unary", joined) as ask:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(iter([TEXT.SerializeToString(), BROKEN]))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_method_that_takes_bytes_gets_bytes() -> None:
    async def length(request: bytes, context: Any) -> bytes:
        return b"%d" % len(request)

    async with one_method.served([decoding.Decoding()], "unary_unary", length) as ask:
        assert await ask(BROKEN) == b"3"
