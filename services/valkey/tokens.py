"""Tokens bought for each API key in a day, counted for all processes together."""

import collections
import dataclasses
import datetime
import itertools
import secrets
from collections.abc import Callable
from typing import Final

import redis.asyncio
import structlog

from services.runtime import background, key_tokens
from services.valkey import errors, scripts

log = structlog.get_logger()

FLUSH_SECONDS: Final = 1.0
# A day and its morning after, for whoever looks.
KEPT_SECONDS: Final = 2 * 86_400


@dataclasses.dataclass(frozen=True)
class _Addition:
    """An amount that may be in Valkey already: whatever is spent later goes into the next one."""

    number: int
    tokens: int


class ValkeyTokens:
    """Implements `key_tokens.Tokens`: a number a key and day. What is spent is added once a second.

    While Valkey is away nothing is bought (the limiter is there too), so calls are let through; what was spent just
    before is kept here and added later. An addition whose answer was lost is made again under its number, by which
    Valkey knows whether it has it. What a process that is killed had not added yet, about a second, is lost.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        prefix: str = "{vectorline}",
        clock: Callable[[], datetime.datetime] = key_tokens.now,
    ) -> None:
        self._client = client
        self._scripts = scripts.Scripts(client, "services.valkey")
        self._process = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._prefix = prefix
        self._clock = clock
        # By the name in Valkey: not sent yet, and sent but not confirmed.
        self._owed: collections.Counter[str] = collections.Counter()
        self._unconfirmed: dict[str, _Addition] = {}
        self._flushing = background.Flushing(self._flush, FLUSH_SECONDS)

    def spent(self, key_id: str, tokens: int) -> None:
        """See `key_tokens.Tokens.spent`."""
        if tokens:
            self._owed[self._name(key_id)] += tokens

    async def used(self, key_id: str) -> int:
        """See `key_tokens.Tokens.used`."""
        name = self._name(key_id)
        stored = last = 0
        try:
            async with self._client.pipeline(transaction=True) as both:
                both.get(name)
                both.hget(_counted(name), self._process)
                stored, last = (int(each or 0) for each in await both.execute())
        except errors.ANY as error:
            log.warning("A day's tokens cannot be looked up.", action="tokens_unknown", error=type(error).__name__)
        sent = self._unconfirmed.get(name)
        return stored + self._owed[name] + (sent.tokens if sent and sent.number > last else 0)

    async def run(self) -> None:
        """Add what is spent, for ever."""
        await self._flushing.run()

    async def flush(self) -> None:
        """Add what was spent since the last time."""
        await self._flushing.once()

    async def _flush(self) -> None:
        for name in sorted({*self._unconfirmed, *self._owed}):
            try:
                if name in self._unconfirmed:
                    await self._add(name)
                if tokens := self._owed.pop(name, 0):
                    self._unconfirmed[name] = _Addition(next(self._numbers), tokens)
                    await self._add(name)
            except errors.ANY as error:
                log.warning("A day's tokens are added later.", action="tokens_owed", error=type(error).__name__)

    async def _add(self, name: str) -> None:
        adding = self._unconfirmed[name]
        said = (self._process, adding.number, adding.tokens, KEPT_SECONDS)
        await self._scripts.run("count", [name, _counted(name)], said)
        del self._unconfirmed[name]  # not where this was cut short or failed: it is in Valkey, or not

    def _name(self, key_id: str) -> str:
        return f"{self._prefix}:tokens:{key_id}:{self._clock().date().isoformat()}"


def _counted(name: str) -> str:
    """Where the last number of each process is: in the same slot, since both begin with the hash tag."""
    return f"{name}:counted"
