"""gRPC without sockets: channels of the client processes call the servicers of the server processes."""

import asyncio
import functools
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from services.runtime import errors
from tests.simulation import loop as loops
from tests.simulation.network import Lost, Network

DEADLINE_SECONDS = 10.0
RETRIES = 4
# Of IndexerService, which no layer repeats: twice for sure would be billed twice.
ONCE = frozenset({"RecordSpend"})
# How long a server may go on after its caller is gone.
ORPHAN_SECONDS = 5.0


def failure(code: str, words: str) -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode[code], nothing, nothing, details=words)


class Servers:
    """The live processes of a service."""

    def __init__(self, loop: loops.Loop, network: Network) -> None:
        self.loop = loop
        self.network = network
        self.live: dict[loops.Process, dict[str, Any]] = {}

    def up(self, process: loops.Process, *servicers: Any) -> None:
        methods = {
            name: getattr(servicer, name) for servicer in servicers for name in dir(servicer) if name[0].isupper()
        }
        self.live[process] = methods
        process.on_death.append(lambda: self.live.pop(process, None))

    def pick(self) -> tuple[loops.Process, dict[str, Any]]:
        if not self.live:
            raise failure("UNAVAILABLE", "nobody listens")
        return self.network.choice.choice(list(self.live.items()))

    async def status_of(self, call: Callable[[], Any]) -> Any:
        """Run a servicer's method; its errors as statuses."""
        try:
            return await call()
        except errors.ServiceError as error:
            raise failure(error.code, error.message) from error
        except (asyncio.CancelledError, grpc.aio.AioRpcError):
            raise
        except Exception as error:
            self.loop.defects.append(f"a servicer failed inside: {traceback.format_exc(limit=-4)}")
            raise failure("INTERNAL", repr(error)) from error


class Channel:
    """What stubs are made on."""

    def __init__(self, client: loops.Process, servers: Servers) -> None:
        self._client = client
        self._servers = servers

    def unary_unary(self, method: str, **_: Any) -> Callable[..., Any]:
        return functools.partial(self._unary, method.rpartition("/")[2])

    def stream_stream(self, method: str, **_: Any) -> Callable[..., Any]:
        return functools.partial(StreamCall, self._client, self._servers, method.rpartition("/")[2])

    stream_unary = unary_unary

    def unary_stream(self, method: str, **_: Any) -> Callable[..., Any]:
        return functools.partial(self._parts, method.rpartition("/")[2])

    async def _parts(self, method: str, request: Any, timeout: float | None = None, **_: Any) -> AsyncIterator[Any]:
        """All parts of an answer, once the last has come; a call that breaks is not made again."""
        try:
            async with asyncio.timeout(timeout or DEADLINE_SECONDS):
                parts = await self._once(method, request)
        except TimeoutError:
            raise failure("DEADLINE_EXCEEDED", method) from None
        for part in parts:
            yield part

    async def _unary(self, method: str, request: Any, timeout: float | None = None, **_: Any) -> Any:
        """One retry layer, as the service config says: UNAVAILABLE only, within the deadline."""
        tries = 1 if method in ONCE else RETRIES
        try:
            async with asyncio.timeout(timeout or DEADLINE_SECONDS):
                for attempt in range(tries):
                    try:
                        return await self._once(method, request)
                    except grpc.aio.AioRpcError as error:
                        if error.code() is not grpc.StatusCode.UNAVAILABLE or attempt == tries - 1:
                            raise
                    await asyncio.sleep(0.1 * 2**attempt)
        except TimeoutError:
            raise failure("DEADLINE_EXCEEDED", method) from None

    async def _once(self, method: str, request: Any) -> Any:
        network, loop = self._servers.network, self._servers.loop
        try:
            await network.ask(self._client, "indexer")
            process, methods = self._servers.pick()
            answer: asyncio.Future[Any] = loop.create_future()
            process.start(self._serve(methods[method], request, answer))
            process.on_death.append(lambda: _break(loop, answer))
            result = await answer
            await network.answer(self._client, "indexer")
        except Lost:
            raise failure("UNAVAILABLE", "lost on the way") from None
        return result

    async def _serve(self, method: Any, request: Any, answer: asyncio.Future[Any]) -> None:
        try:
            result = await self._servers.status_of(lambda: _answer(method, request))
        except grpc.aio.AioRpcError as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(result)


async def _answer(method: Any, request: Any) -> Any:
    answer = method(request, None)
    return [part async for part in answer] if hasattr(answer, "__aiter__") else await answer


def _break(loop: loops.Loop, answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(failure("UNAVAILABLE", "the server died"))
        answer.exception()


class StreamCall:
    """One call with a stream both ways."""

    def __init__(self, client: loops.Process, servers: Servers, method: str, **_: Any) -> None:
        self._client = client
        self._servers = servers
        self._network = servers.network
        self._inbox: deque[bytes | None] = deque()
        self._outbox: deque[Any] = deque()
        self._moved = asyncio.Event()
        self._end: grpc.aio.AioRpcError | bool = False
        self._server: asyncio.Task[None] | None = None
        try:
            if not self._network.reaches(client, "indexer"):
                raise failure("UNAVAILABLE", "no way")
            process, methods = servers.pick()
        except grpc.aio.AioRpcError as error:
            self._end = error
            return
        self._server = process.start(self._serve(methods[method]))
        process.on_death.append(lambda: self._finish(failure("UNAVAILABLE", "the server died")))
        client.on_death.append(self._orphan)

    # ---- the client's side

    async def write(self, message: Any) -> None:
        await self._travel()
        if self._end:
            # grpc.aio says either, by the moment.
            if self._network.happens(0.5) or self._end is True:
                raise asyncio.InvalidStateError("the call is over")
            raise self._end
        self._inbox.append(message if isinstance(message, bytes) else message.SerializeToString())
        self._move()

    async def done_writing(self) -> None:
        await self._travel()
        self._inbox.append(None)
        self._move()

    async def __aiter__(self) -> AsyncIterator[Any]:
        while True:
            while self._outbox:
                await self._travel()
                yield self._outbox.popleft()
            if self._end is True:
                return
            if self._end:
                raise self._end
            await self._moved.wait()

    def done(self) -> bool:
        return bool(self._end)

    def cancel(self) -> None:
        if self._client.alive:
            self._finish(failure("CANCELLED", "by the caller"))
            self._orphan()

    # ---- the server's side

    async def _serve(self, method: Any) -> None:
        try:
            await self._servers.status_of(lambda: self._answer(method))
        except grpc.aio.AioRpcError as error:
            self._finish(error)
        else:
            self._finish(True)

    async def _answer(self, method: Any) -> None:
        async for event in method(self._requests(), None):
            await self._network.pause()
            if self._end:
                raise asyncio.CancelledError
            self._outbox.append(event)
            self._move()

    async def _requests(self) -> AsyncIterator[bytes]:
        while True:
            while not self._inbox:
                await self._moved.wait()
            message = self._inbox.popleft()
            if message is None:
                return
            yield message

    # ---- between the two

    async def _travel(self) -> None:
        if not self._client.alive:
            await loops.for_ever()
        await self._network.pause()
        cut = not self._network.reaches(self._client, "indexer")
        if not self._end and (cut or self._network.happens(self._network.weather.broken_stream)):
            self._finish(failure("UNAVAILABLE", "the stream broke"))
            self._orphan()

    def _move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def _finish(self, end: grpc.aio.AioRpcError | bool) -> None:
        if not self._end:
            self._end = end
            self._move()

    def _orphan(self) -> None:
        """The server hears of it, sooner or later."""
        if self._server is not None and not self._server.done():
            delay = self._network.choice.random() * ORPHAN_SECONDS
            fate = self._servers.loop.fate
            fate.start(self._cancel_after(delay if self._network.happens(0.3) else 0.0))

    async def _cancel_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._server is not None:
            self._server.cancel()
