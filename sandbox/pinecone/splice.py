"""One port for HTTP/1.1 and for gRPC: a connection is told apart by its first bytes, without reading them.

HTTP/1.1 connections are adopted by the HTTP server as they are. HTTP/2 ones (they begin with "PRI * HTTP/2.0") are
piped to the gRPC server, which listens on a loopback port of its own.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

_PREFACE = b"PRI"  # no HTTP/1.1 method begins like this
_HIGH_WATER_BYTES = 4 * 1024 * 1024
_BACKLOG = 512
_ACCEPT_PAUSE_SECONDS = 0.05
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST

HOST = "127.0.0.1"


class _End(asyncio.Protocol):
    """One end of a pipe: what arrives here is written to the other end, no faster than that takes it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(_HIGH_WATER_BYTES)
        for data in self._early:
            self.transport.write(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.send(data)

    def send(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        else:
            self.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Splice:
    """The listening sockets. A *door* is the number that an index is dialled on: 0 for the process's own port."""

    def __init__(
        self, http: Callable[[], asyncio.BaseProtocol], grpc_port: int, *, host: str = HOST, name: str = HOST
    ) -> None:
        """Remember where connections go and by which name others come; nothing listens yet."""
        self.main_port = 0
        self.name = name
        self._host = host
        self._http = http
        self._grpc_port = grpc_port
        self._listening: dict[int, tuple[socket.socket, asyncio.Task[None]]] = {}
        self._door_of_port: dict[int, int] = {}
        self._fronts: dict[str, tuple[int, _End]] = {}  # by what the gRPC server calls its peer
        self._tasks: set[asyncio.Task[None]] = set()

    def open_main(self, port: int) -> None:
        """Listen on the process's own port (0: any free one), known as `main_port` from then on."""
        self.main_port = self._open(port, main=True)

    def open(self, port: int) -> int:
        """Listen on a port (0: any free one) and return it.

        Raises:
            OSError: The port is taken.

        """
        return self._open(port, main=False)

    def _open(self, port: int, *, main: bool) -> int:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, port))
        except OSError:
            listener.close()
            raise
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        port = int(listener.getsockname()[1])
        door = 0 if main else port
        self._door_of_port[port] = door
        self._listening[door] = (listener, asyncio.create_task(self._accept(listener, door)))
        return port

    def close(self, door: int) -> None:
        """Stop listening; connections that are open stay so."""
        listener, task = self._listening.pop(door)
        task.cancel()
        listener.close()

    def close_all(self) -> None:
        """Stop listening everywhere and drop the piped connections."""
        for door in list(self._listening):
            self.close(door)
        for _, front in self._fronts.values():
            if front.transport is not None:
                front.transport.close()

    def door_of_port(self, port: int) -> int:
        """Return the door that a connection to a local port came through."""
        return self._door_of_port.get(port, 0)

    def door_of_peer(self, peer: str) -> int:
        """Return the door that a gRPC call came through, by what the gRPC server calls its peer."""
        return self._fronts[peer][0] if peer in self._fronts else 0

    def drop(self, peer: str) -> None:
        """Reset the connection that a gRPC call came by."""
        if peer in self._fronts:
            reset(self._fronts[peer][1].transport)

    async def _accept(self, listener: socket.socket, door: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:  # out of file descriptors, or the caller left the queue
                await asyncio.sleep(_ACCEPT_PAUSE_SECONDS)
                continue
            task = loop.create_task(self._serve(connection, door))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket, door: int) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if await _peek(connection) == _PREFACE:
                await self._pipe(connection, door)
            else:
                await asyncio.get_running_loop().connect_accepted_socket(self._http, connection)
        except OSError:  # gone before it said anything
            connection.close()

    async def _pipe(self, connection: socket.socket, door: int) -> None:
        loop = asyncio.get_running_loop()
        front, back = _End(), _Back(self._fronts)
        front.other, back.other = back, front
        transport, _ = await loop.create_connection(lambda: back, HOST, self._grpc_port)
        back.peer = f"ipv4:{HOST}:{transport.get_extra_info('sockname')[1]}"
        self._fronts[back.peer] = (door, front)
        await loop.connect_accepted_socket(lambda: front, connection)


class _Back(_End):
    """The end that faces the gRPC server; forgets the pair when it closes."""

    def __init__(self, fronts: dict[str, tuple[int, _End]]) -> None:
        super().__init__()
        self.peer = ""
        self._fronts = fronts

    def connection_lost(self, error: Exception | None) -> None:
        self._fronts.pop(self.peer, None)
        super().connection_lost(error)


async def _peek(connection: socket.socket) -> bytes:
    """Wait for the first bytes and leave them in the socket."""
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(BlockingIOError):
            data = connection.recv(len(_PREFACE), socket.MSG_PEEK)
            if not data or data == _PREFACE or not _PREFACE.startswith(data):
                return data
            await asyncio.sleep(0.001)  # part of a preface: readable already, so there is nothing to wait on
            continue
        readable = loop.create_future()
        loop.add_reader(connection, readable.set_result, None)
        try:
            await readable
        finally:
            loop.remove_reader(connection)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Drop a connection the hard way: the other side sees RST."""
    if transport is None:
        return
    with contextlib.suppress(OSError, AttributeError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    cast("asyncio.Transport", transport).abort()
