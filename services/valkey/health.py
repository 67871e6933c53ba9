"""Valkey as a dependency: does it take writes, and is it one that the queue can live on?"""

import asyncio
import dataclasses
from collections.abc import Callable

import redis.asyncio
import redis.exceptions
import structlog

from services.runtime import settings
from services.valkey import errors, scripts

log = structlog.get_logger()

LOOK_SECONDS = 3.0
WRITTEN_MS = 60_000
# Beside the queue there is what commands under way need, and others' data.
SHARE_OF_MEMORY = 2


class Unusable(Exception):
    """It is none that the queue can live on; the message names the variable, the reason and the remedy."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a server says of itself.

    Attributes:
        shards: Shards of the cluster that it belongs to; 1: it is one alone.
        policy: maxmemory-policy.
        most_bytes: maxmemory; 0: there is no limit.
    """

    shards: int
    policy: str
    most_bytes: int


class Server:
    """The server behind a client.

    Args:
        client: From ``connection.connect``.
        queue_bytes: What the queue may come to.
        fit: Told at the first look, where there is a limit to memory, how many bytes the queue should keep to.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        queue_bytes: int,
        fit: Callable[[int], None],
        *,
        prefix: str = "{vectorline}",
    ) -> None:
        self._client = client
        self._scripts = scripts.Scripts(client, "services.valkey")
        self._key = f"{prefix}:health"
        self._queue_bytes = queue_bytes
        self._fit = fit
        self._looked = False

    async def begin(self) -> None:
        """Look at it now, if it can be reached; else `probe` does so later. Stops the process where it is unusable."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._look_once()
        except Unusable as error:
            settings.refuse(str(error))
        except (errors.NotNow, TimeoutError):
            return

    async def probe(self) -> None:
        """Write something, as everything that counts does: a PING is answered by one that takes no writes too.

        Raises:
            errors.NotNow: It does not take it now.
            Unusable: It never will.
        """
        await self._look_once()
        with errors.translated():
            await self._scripts.run("write", [self._key], [WRITTEN_MS])

    async def _look_once(self) -> None:
        if self._looked:
            return
        try:
            with errors.translated():
                facts = await _facts(self._client)
        except errors.NotNow as error:
            if not isinstance(error.__cause__, redis.exceptions.NoPermissionError):
                raise
            log.info("Valkey may not be asked for its memory; it is taken as it is.", action="valkey_unasked")
            self._looked = True
            return
        if facts.shards > 1:
            raise Unusable(
                f"REDIS_URL (or REDIS_HOST): it is a cluster of {facts.shards} shards, and all keys of the line lie in "
                "one slot, so the others would stand idle. Use cluster mode off, or a cluster of one shard"
            )
        self._looked = True
        self._judge_memory(facts)

    def _judge_memory(self, facts: Facts) -> None:
        if facts.policy != "noeviction":
            log.warning(
                "Valkey's maxmemory-policy should be noeviction: another one may throw away leases, blocks and the "
                "limiter's state.",
                action="eviction_policy",
                policy=facts.policy,
            )
        share = facts.most_bytes // SHARE_OF_MEMORY
        if facts.most_bytes and share < self._queue_bytes:
            log.warning(
                "Valkey's memory is small for the queue, which keeps to half of it: ingest waits sooner.",
                action="valkey_small",
                maxmemory=facts.most_bytes,
                queue_bytes=share,
                wanted_bytes=self._queue_bytes,
            )
            self._fit(share)


async def _facts(client: redis.asyncio.Redis) -> Facts:
    memory = await client.info("memory")
    shards = 1
    if (await client.info("cluster")).get("cluster_enabled"):
        told = await client.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]  # the library's
        shards = max(int(told["cluster_size"]), 1)
    return Facts(shards, str(memory.get("maxmemory_policy", "noeviction")), int(memory.get("maxmemory", 0)))
