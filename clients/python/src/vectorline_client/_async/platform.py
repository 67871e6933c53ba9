"""What differs between the two clients beyond the words async and await. Its sibling is written by hand too."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import grpc
from google.protobuf import message

from vectorline_client import connection, content, wire
from vectorline_client._sync import platform as sync_platform

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


async def stream_unary(
    channel: grpc.aio.Channel,  # noqa: ARG001 (see below)
    target: connection.Target,
    method: wire.Method,
    messages: AsyncIterator[message.Message],
    *,
    timeout: float,
    metadata: Any,
) -> Any:
    """A call with a stream of requests. What reading them raises is raised, and the call is broken off then.

    A plain end would make the line take a part for the whole. The call is made by grpc's own threads, on a connection
    of its own: where the line refuses a file while a part of it is being written, grpc.aio (1.85) forgets what the line
    said one time in five, and tells of an "Internal error from Core" instead.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    reading = _Reading(messages, loop)
    with sync_platform.dial(target, method.service) as own:
        stub = own.stream_unary(method.path, method.request.SerializeToString, method.answer.FromString)
        call = stub.future(reading.pulled(), timeout=timeout, metadata=metadata)
        call.add_done_callback(lambda _: _tell(loop, over))
        try:
            await over
            return call.result()
        except grpc.RpcError:
            if reading.failed is not None:
                raise reading.failed from None
            raise
        finally:
            call.cancel()  # of a call that is over this does nothing
            await reading.stop()


def _tell(loop: asyncio.AbstractEventLoop, over: asyncio.Future[None]) -> None:
    """Say in the loop that a call is over, from grpc's thread."""

    def tell() -> None:
        if not over.done():
            over.set_result(None)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(tell)


class _Reading:
    """Hands what an asynchronous iterator yields to a thread that pulls it."""

    def __init__(self, messages: AsyncIterator[message.Message], loop: asyncio.AbstractEventLoop) -> None:
        self._messages = messages
        self._loop = loop
        self._next: concurrent.futures.Future[message.Message | None] | None = None
        self._stopped = False
        self.failed: Exception | None = None

    def pulled(self) -> Iterator[message.Message]:
        """The same, for grpc's thread."""
        try:
            while not self._stopped:
                self._next = asyncio.run_coroutine_threadsafe(self._read(), self._loop)
                found = self._next.result()
                if found is None:
                    return
                yield found
        except Exception as error:
            self.failed = error
            raise
        raise RuntimeError("The call is over.")

    async def stop(self) -> None:
        """Nobody pulls any more."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            await asyncio.sleep(0)  # so that what was being read is cancelled before the iterator is closed
        if isinstance(self._messages, AsyncGenerator):
            with contextlib.suppress(RuntimeError):  # it is still on its way out
                await self._messages.aclose()

    async def _read(self) -> message.Message | None:
        return await anext(self._messages, None)
