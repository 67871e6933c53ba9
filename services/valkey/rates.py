"""Requests a second of one API key, counted for all replicas together: a bucket that holds one second's worth."""

import redis.asyncio
import structlog

from services.runtime import key_rates
from services.valkey import errors, scripts

log = structlog.get_logger()


class ValkeyRate:
    """Implements `key_rates.Rate` for all replicas together, by Valkey's clock."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str = "{vectorline}") -> None:
        self._scripts = scripts.Scripts(client, "services.valkey")
        self._prefix = prefix
        self._local = key_rates.LocalRate()

    async def take(self, key_id: str, per_second: float) -> float:
        """See `key_rates.Rate.take`."""
        microseconds = [round(1e6 / per_second), round(1e6 * key_rates.depth_seconds(per_second))]
        try:
            return int(await self._scripts.run("bucket", [f"{self._prefix}:rate:{key_id}"], microseconds)) / 1e6
        except errors.ANY as error:
            log.warning("A rate is counted in this process alone.", action="rate_local", error=type(error).__name__)
            return await self._local.take(key_id, per_second)
