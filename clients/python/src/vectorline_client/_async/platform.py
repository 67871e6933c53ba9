"""What differs between the two clients beyond the words async and await. Its sibling is written by hand too."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from vectorline_client import connection, content

sleep = asyncio.sleep
Channel = grpc.aio.Channel


def dial(target: connection.Target, service: str) -> grpc.aio.Channel:
    """A channel; it connects with the first call."""
    address, options = target.address(service), target.options()
    options.append(("grpc.primary_user_agent", "vectorline-client-aio"))
    if target.tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, target.tls.credentials(), options=options)


def pieces(sent: content.Content) -> AsyncIterator[bytes]:
    """The pieces of a content; reading blocks nobody else."""
    return sent.pieces_async(asyncio.to_thread)


async def stream_unary(method: Callable[..., Any], messages: AsyncIterator[Any], timeout: float, metadata: Any) -> Any:
    """A call with a stream of requests. What reading them raises is raised, and the call is broken off then.

    A plain end would make the line take a part for the whole.
    """
    call = method(timeout=timeout, metadata=metadata)
    try:
        async for each in messages:
            try:
                await call.write(each)
            except asyncio.InvalidStateError:  # the line answered before it had everything
                break
        await call.done_writing()
        return await call
    finally:
        call.cancel()  # of a call that is over this does nothing
        if isinstance(messages, contextlib.AbstractAsyncContextManager):
            await messages.__aexit__(None, None, None)
