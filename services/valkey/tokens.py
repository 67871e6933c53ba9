"""Tokens bought for each API key in a day, counted for all processes together."""

import collections
import datetime
from collections.abc import Callable
from typing import Final

import redis.asyncio
import structlog

from services.runtime import background, key_tokens
from services.valkey import errors

log = structlog.get_logger()

FLUSH_SECONDS: Final = 1.0
# A day and its morning after, for whoever looks.
KEPT_SECONDS: Final = 2 * 86_400


class ValkeyTokens:
    """Implements `key_tokens.Tokens`: a number a key and day. What is spent is added once a second.

    While Valkey is away nothing is bought (the limiter is there too), so calls are let through; what was spent just
    before is kept here and added later. An addition whose answer was lost is made again.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        prefix: str = "{vectorline}",
        clock: Callable[[], datetime.datetime] = key_tokens.now,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        # Not in Valkey yet, by the name there.
        self._owed: collections.Counter[str] = collections.Counter()
        self._flushing = background.Flushing(self._flush, FLUSH_SECONDS)

    def spent(self, key_id: str, tokens: int) -> None:
        """See `key_tokens.Tokens.spent`."""
        if tokens:
            self._owed[self._name(key_id)] += tokens

    async def used(self, key_id: str) -> int:
        """See `key_tokens.Tokens.used`."""
        name = self._name(key_id)
        try:
            stored = int(await self._client.get(name) or 0)
        except errors.ANY as error:
            log.warning("A day's tokens cannot be looked up.", action="tokens_unknown", error=type(error).__name__)
            stored = 0
        return stored + self._owed[name]

    async def run(self) -> None:
        """Add what is spent, for ever."""
        await self._flushing.run()

    async def flush(self) -> None:
        """Add what was spent since the last time."""
        await self._flushing.once()

    async def _flush(self) -> None:
        for name in list(self._owed):
            tokens = self._owed.pop(name)
            try:
                async with self._client.pipeline(transaction=True) as both:
                    both.incrby(name, tokens)
                    both.expire(name, KEPT_SECONDS)
                    await both.execute()
            except errors.ANY as error:
                log.warning("A day's tokens are added later.", action="tokens_owed", error=type(error).__name__)
                self._owed[name] += tokens
            except BaseException:
                self._owed[name] += tokens
                raise

    def _name(self, key_id: str) -> str:
        return f"{self._prefix}:tokens:{key_id}:{self._clock().date().isoformat()}"
