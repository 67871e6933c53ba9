"""A TCP proxy between the services and something they need, with toxics: latency, hang, reset, answers cut or lost.

It runs an event loop in a thread of its own. A toxic without `match` concerns every connection for as long as it is
there; one with `match` concerns a connection from the moment a request holds these bytes until its next request.
"""

import asyncio
import contextlib
import dataclasses
import enum
import socket
import struct
import threading
from collections.abc import Iterator

READ_BYTES = 256 * 1024
METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ")


class Kind(enum.StrEnum):
    LATENCY = "latency"  # requests are `seconds` late
    HANG = "hang"  # nothing passes; what came meanwhile passes when the toxic is gone
    RESET = "reset"  # connections are reset
    LOSE_ANSWER = "lose_answer"  # the request arrives, its answer never does
    RESET_ANSWER = "reset_answer"  # the request arrives, the connection is reset in place of an answer
    TRUNCATE = "truncate"  # after `keep` bytes of the answer the connection is reset
    ANSWER = "answer"  # `body` is answered, the request does not arrive


@dataclasses.dataclass(eq=False)
class Toxic:
    kind: Kind
    match: bytes = b""
    times: int | None = None
    seconds: float = 0.0
    keep: int = 0
    body: bytes = b""
    fired: int = 0


def answer(status: str, content_type: str, body: bytes) -> bytes:
    """A whole answer of a server, for a toxic's `body`; `status` is e.g. "403 Forbidden"."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Connection:
    def __init__(self, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self.writers = writers
        self.toxic: Toxic | None = None
        self.answered = 0

    def reset(self) -> None:
        for writer in self.writers:
            connection = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Listens on a port of its own for one upstream; `close` it."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._toxics: list[Toxic] = []
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._run(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    @contextlib.contextmanager
    def toxic(self, kind: Kind, **details: object) -> Iterator[Toxic]:
        """Put a toxic in for the length of the block."""
        toxic = Toxic(kind, **details)  # type: ignore[arg-type]  # the dataclass names them
        self._run(self._add(toxic))
        try:
            yield toxic
        finally:
            self._run(self._remove(toxic))

    def lead_to(self, port: int) -> None:
        """New connections go to another upstream, as after a name was given to another; open ones stay."""
        self._upstream_port = port

    def close(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # ---- in the loop

    def _run(self, work: "asyncio._CoroutineLike[object]") -> "asyncio.Server":
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type, return-value]

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=READ_BYTES)

    async def _end(self) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _add(self, toxic: Toxic) -> None:
        self._toxics.append(toxic)
        if toxic.kind is Kind.RESET and not toxic.match:
            for connection in list(self._connections):
                connection.reset()

    async def _remove(self, toxic: Toxic) -> None:
        self._toxics.remove(toxic)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            if (toxic := self._unconditional()) and toxic.kind is Kind.RESET:
                _Connection((writer, writer)).reset()
                return
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port, limit=READ_BYTES)
            connection = _Connection((writer, up_writer))
            self._connections.add(connection)
            pumps = [
                asyncio.ensure_future(self._requests(reader, up_writer, writer, connection)),
                asyncio.ensure_future(self._answers(up_reader, writer, connection)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
                self._connections.discard(connection)
                up_writer.close()
        writer.close()

    def _unconditional(self) -> Toxic | None:
        return next((toxic for toxic in self._toxics if not toxic.match), None)

    def _pick(self, data: bytes) -> Toxic | None:
        for toxic in self._toxics:
            if toxic.times is not None and toxic.fired >= toxic.times:
                continue
            if not toxic.match or toxic.match in data:
                toxic.fired += 1
                return toxic
        return None

    def _goes_on(self, data: bytes, connection: _Connection) -> bool:
        """Whether this is more of the HTTP request that a toxic was picked for."""
        return bool(connection.toxic and connection.toxic.match and not data.startswith(METHODS))

    async def _gone(self, toxic: Toxic) -> None:
        while toxic in self._toxics:
            await self._changed.wait()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        up: asyncio.StreamWriter,
        down: asyncio.StreamWriter,
        connection: _Connection,
    ) -> None:
        while data := await reader.read(READ_BYTES):
            if self._goes_on(data, connection):
                if connection.toxic is not None and connection.toxic.kind is not Kind.ANSWER:
                    up.write(data)
                    await up.drain()
                continue
            toxic = connection.toxic = self._pick(data)
            connection.answered = 0
            if toxic is not None:
                if toxic.kind is Kind.RESET:
                    connection.reset()
                    return
                if toxic.kind is Kind.ANSWER:
                    down.write(toxic.body)
                    await down.drain()
                    continue
                if toxic.kind is Kind.HANG:
                    await self._gone(toxic)
                elif toxic.kind is Kind.LATENCY:
                    await asyncio.sleep(toxic.seconds)
            up.write(data)
            await up.drain()

    async def _answers(self, reader: asyncio.StreamReader, down: asyncio.StreamWriter, connection: _Connection) -> None:
        while data := await reader.read(READ_BYTES):
            toxic = connection.toxic or self._unconditional()
            if toxic is not None:
                if toxic.kind is Kind.HANG:
                    await self._gone(toxic)
                elif toxic.kind is Kind.LOSE_ANSWER:
                    continue
                elif toxic.kind is Kind.RESET_ANSWER:
                    connection.reset()
                    return
                elif toxic.kind is Kind.TRUNCATE and connection.answered + len(data) > toxic.keep:
                    down.write(data[: max(0, toxic.keep - connection.answered)])
                    await down.drain()
                    connection.reset()
                    return
            connection.answered += len(data)
            down.write(data)
            await down.drain()
