"""Ports for servers that have to be told theirs."""

import contextlib
import socket


def free(highest: int = 65_535) -> int:
    """A port of loopback that nobody listens on at this moment."""
    return several(1, highest)[0]


def several(count: int, highest: int = 65_535) -> list[int]:
    """Ports of loopback, each another one."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            if port <= highest:
                found.append(port)
    return found
