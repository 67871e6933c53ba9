"""How much a server turned out to take in one request, for embedders that start: each need not find it out anew.

A hint with an end: it never widens what a process found out itself, and what nobody confirms for ten minutes is
forgotten, since a limit may have been an hour's. Without Valkey everybody learns for itself.
"""

import enum
from collections.abc import Mapping
from typing import Protocol

import redis.asyncio

from services.embedder.limiter.promise import LimiterUnavailable
from services.valkey import errors, scripts

# How long a learned size holds before more is tried.
LEARNED_SECONDS = 600.0


class Kind(enum.StrEnum):
    """What there is a limit of."""

    INPUTS = "inputs"
    TOKENS = "tokens"


class RequestSizes(Protocol):
    """The memory of all embedders; each method raises LimiterUnavailable when it does not answer."""

    async def learn(self, kind: Kind, limit: int) -> None:
        """The server takes no more than this; of several the least holds."""

    async def known(self) -> Mapping[Kind, int]:
        """What was learned of late."""


class ValkeySizes:
    """Implements `RequestSizes`: a key for each kind, of one model."""

    def __init__(self, client: redis.asyncio.Redis, model: str, prefix: str = "{vectorline}") -> None:
        self._client = client
        self._keys = {kind: f"{prefix}:request_{kind.value}:{model}" for kind in Kind}
        self._scripts = scripts.Scripts(client, "services.embedder.limiter")

    async def learn(self, kind: Kind, limit: int) -> None:
        """See `RequestSizes.learn`."""
        try:
            await self._scripts.run("least", [self._keys[kind]], [limit, round(LEARNED_SECONDS * 1000)])
        except errors.ANY as error:
            raise LimiterUnavailable(str(error) or type(error).__name__) from error

    async def known(self) -> Mapping[Kind, int]:
        """See `RequestSizes.known`."""
        try:
            values = await self._client.mget(list(self._keys.values()))
        except errors.ANY as error:
            raise LimiterUnavailable(str(error) or type(error).__name__) from error
        return {kind: int(value) for kind, value in zip(self._keys, values, strict=True) if value is not None}


class MemorySizes:
    """The same in memory, for tests: nothing is forgotten."""

    def __init__(self) -> None:
        self.down = False
        self._known: dict[Kind, int] = {}

    async def learn(self, kind: Kind, limit: int) -> None:
        """See `RequestSizes.learn`."""
        self._served()
        self._known[kind] = min(limit, self._known.get(kind, limit))

    async def known(self) -> Mapping[Kind, int]:
        """See `RequestSizes.known`."""
        self._served()
        return dict(self._known)

    def _served(self) -> None:
        if self.down:
            raise LimiterUnavailable("down")
