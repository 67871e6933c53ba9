"""Callers that speak to the gateway byte by byte, as no client library would."""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator

import httpx

HEAD = b" HTTP/1.1\r\nHost: gateway\r\n"
# Close by a reset: 10,000 closed connections shall not hold their ports for a minute.
RESET = struct.pack("ii", 1, 0)
# So long a call may take beside any crowd, however fast it is alone.
FAST_MILLISECONDS = 100


def first_answer(port: int, request: bytes) -> bytes:
    """Send bytes as they are and return the beginning of what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        caller.sendall(request)
        return caller.recv(65536)


def all_answers(port: int, requests: list[bytes]) -> list[bytes]:
    """Send each on a connection of its own and return everything until the gateway closes it."""
    with many(port, len(requests)) as callers:
        for caller, request in zip(callers, requests, strict=True):
            caller.sendall(request)
        return [_until_closed(caller) for caller in callers]


def _until_closed(caller: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := caller.recv(65536):
            parts.append(part)
    return b"".join(parts)


def ended(caller: socket.socket) -> bool:
    """Whether the gateway has closed the connection; what it said before is thrown away."""
    caller.setblocking(False)
    try:
        while caller.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


@contextlib.contextmanager
def many(port: int, count: int, beginning: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections at once, each with the same bytes sent; more may be put into the list."""
    callers: list[socket.socket] = []
    try:
        for _ in range(count):
            callers.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            callers[-1].sendall(beginning)
        yield callers
    finally:
        for caller in callers:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            caller.close()


def milliseconds(rest: httpx.Client, calls: int) -> list[float]:
    """How long each of these calls took, one after the other, each answered 200."""
    taken = []
    for _ in range(calls):
        since = time.perf_counter()
        assert rest.get("/api/v1/status/t-1").status_code == 200
        taken.append((time.perf_counter() - since) * 1000)
    return taken


def p95(taken: list[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.95)]


def slowed_down(taken: list[float], alone: list[float]) -> bool:
    """Whether a crowd kept the others waiting: by more than a busy machine does, to whom they are compared alone."""
    return p95(taken) > max(FAST_MILLISECONDS, 4 * p95(alone))
