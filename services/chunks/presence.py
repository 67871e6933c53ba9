"""Who is alive. An announcement lasts ``timing.presence_ttl_seconds`` by Valkey's clock."""

import os
import socket
import uuid

from services.chunks import keys, store

EMBEDDERS = keys.GROUP
"""The kind whose slots make the publishing window."""


def unique_name() -> str:
    """A name for this start of this process: a restarted process must never be taken for its predecessor."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


class Presence:
    """Processes of one kind. Every method may raise errors.QueueUnavailable."""

    def __init__(self, queue: store.Store, kind: str = EMBEDDERS) -> None:
        self._store = queue
        self._kind = kind

    async def announce(self, name: str, slots: int = 1) -> None:
        """Say that a process is alive with so many slots; repeat it."""
        await self._store.announce(self._kind, name, slots)

    async def withdraw(self, name: str) -> None:
        """Say that it goes."""
        await self._store.withdraw(self._kind, name)

    async def live(self) -> dict[str, int]:
        """Name → slots of those alive."""
        return await self._store.live(self._kind)
