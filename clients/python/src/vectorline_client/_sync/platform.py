"""What differs between the two clients beyond the words async and await. Its sibling is written by hand too."""

import time
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import message

from vectorline_client import connection, content, wire

sleep = time.sleep
Channel = grpc.Channel


def dial(target: connection.Target, service: str) -> grpc.Channel:
    """A channel; it connects with the first call."""
    address, options = target.address(service), target.options()
    options.append(("grpc.primary_user_agent", "vectorline-client"))
    if target.tls is None:
        return grpc.insecure_channel(address, options=options)
    return grpc.secure_channel(address, target.tls.credentials(), options=options)


def pieces(sent: content.Content) -> Iterator[bytes]:
    """The pieces of a content."""
    return sent.pieces()


def stream_unary(
    channel: grpc.Channel,
    target: connection.Target,  # noqa: ARG001 (its sibling makes a channel of its own)
    method: wire.Method,
    messages: Iterator[message.Message],
    *,
    timeout: float,
    metadata: Any,
) -> Any:
    """A call with a stream of requests. What reading them raises is raised, and the call is broken off then.

    A plain end would make the line take a part for the whole.
    """
    failed: list[Exception] = []

    def watched() -> Iterator[Any]:
        try:
            yield from messages
        except Exception as error:
            failed.append(error)  # grpc itself would only say that iterating failed
            raise

    call = channel.stream_unary(method.path, method.request.SerializeToString, method.answer.FromString)
    try:
        return call(watched(), timeout=timeout, metadata=metadata)
    except grpc.RpcError:
        if failed:
            raise failed[0] from None
        raise
