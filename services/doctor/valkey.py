"""Valkey: can it be reached, is it one that the queue can live on, and how far away is it?"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import redis.asyncio
import redis.exceptions

from services.chunks import settings as queue_settings
from services.doctor import finding, told
from services.runtime import secrets
from services.valkey import connection, errors, settings
from services.valkey import health as valkey_health

ABOUT = finding.About("valkey")
SECTIONS = (settings.ValkeySettings,)
# What the scripts of the queue are written for; Redis 7 has the same commands.
OLDEST = {"Valkey": (8, 1), "Redis": (7, 0)}
NEEDED = (7, 0)
PINGS = 20
ATTEMPTS = 3
PAUSE_SECONDS = 0.5
# Within a zone a call takes under 1 ms; each chunk costs some tens of calls.
FAR_MS = 10.0
FULL = 0.8


async def check(knows: told.Told, _services: Sequence[str]) -> AsyncIterator[finding.Finding]:
    """Look at the server behind REDIS_URL (or REDIS_HOST)."""
    where = knows.of(settings.ValkeySettings)
    client = connection.connect(where.url, proof=where.proof(secrets.renewed))
    try:
        try:
            with errors.translated():
                fastest = await _reached(client)
        except errors.NotNow as error:
            yield ABOUT.broken("answer", str(error), "Look at REDIS_URL (or REDIS_HOST, REDIS_PORT, REDIS_PASSWORD).")
            return
        yield _latency(fastest)
        try:
            with errors.translated():
                info = {**await client.info("server"), **await client.info("memory")}
                info |= await client.info("replication")
        except errors.NotNow as error:
            remedy = "Allow INFO to this user, or look from an administrator's side."
            yield ABOUT.warning("version", f"it may not be asked about itself: {error}", remedy)
        else:
            for found in (_version(info), _role(info), _policy(info), *_memory(info)):
                yield found
        yield await _write(client)
    finally:
        await client.aclose()


async def _reached(client: redis.asyncio.Redis) -> float:
    """As `_fastest_ms`. Once more where nothing came in time: other checks may have held this process up."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await _fastest_ms(client)
        except redis.exceptions.TimeoutError:
            await asyncio.sleep(PAUSE_SECONDS)
    return await _fastest_ms(client)


async def _fastest_ms(client: redis.asyncio.Redis) -> float:
    """Of many, since what comes on top of the way there is chance."""
    took: list[float] = []
    await client.ping()  # connects
    for _ in range(PINGS):
        began = time.perf_counter()
        await client.ping()
        took.append(time.perf_counter() - began)
    return min(took) * 1000


def _latency(fastest_ms: float) -> finding.Finding:
    words = f"{fastest_ms:.1f} ms, the fastest of {PINGS} calls"
    if fastest_ms >= FAR_MS:
        return ABOUT.warning("latency", words, "Put it into the same region, best the same zone, as the services.")
    return ABOUT.ok("latency", words)


def _version(info: dict[str, Any]) -> finding.Finding:
    name = "Valkey" if "valkey_version" in info else "Redis"
    text = str(info.get("valkey_version") or info.get("redis_version", "0"))
    version = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    remedy = "Use Valkey 8.1 or newer (or Redis 7)."
    if version < NEEDED:
        return ABOUT.broken("version", f"{name} {text} lacks commands that the queue uses", remedy)
    if version < OLDEST[name]:
        return ABOUT.warning("version", f"{name} {text} is older than what the line is tested with", remedy)
    return ABOUT.ok("version", f"{name} {text}")


def _role(info: dict[str, Any]) -> finding.Finding:
    role = str(info.get("role", ""))
    if role != "master":
        return ABOUT.broken(
            "role", f"it is a {role}, which takes no writes", "Name the primary's address in REDIS_URL."
        )
    return ABOUT.ok("role", f"primary, with {info.get('connected_slaves', 0)} replicas")


def _policy(info: dict[str, Any]) -> finding.Finding:
    policy = str(info.get("maxmemory_policy", ""))
    if policy != "noeviction":
        words = f"maxmemory-policy is {policy}: leases, blocks and the limiter's state may be thrown away"
        return ABOUT.warning("policy", words, "Set maxmemory-policy to noeviction.")
    return ABOUT.ok("policy", "maxmemory-policy is noeviction")


def _memory(info: dict[str, Any]) -> Iterator[finding.Finding]:
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    mib = queue_settings.MIB
    if not most:
        yield ABOUT.ok("memory", f"{used / mib:.0f} MiB in use, no limit is set")
        return
    words = f"{used / mib:.0f} of {most / mib:.0f} MiB in use"
    queue = queue_settings.QueueLimits().queue_bytes
    if used >= most:
        yield ABOUT.broken("memory", f"{words}: it takes no chunks", "Give it more, or remove what others keep there.")
    elif most // valkey_health.SHARE_OF_MEMORY < queue:
        wanted = valkey_health.SHARE_OF_MEMORY * queue / mib
        more = f"{words}; the queue keeps to half of it and ingest waits sooner"
        yield ABOUT.warning("memory", more, f"Give it {wanted:.0f} MiB or more.")
    elif used >= FULL * most:
        yield ABOUT.warning(
            "memory", words, "Give it more, or look at what others keep there: full, it takes no chunks."
        )
    else:
        yield ABOUT.ok("memory", words)


async def _write(client: redis.asyncio.Redis) -> finding.Finding:
    def fit(_queue_bytes: int) -> None:
        """There is no queue here to be fitted."""

    server = valkey_health.Server(client, queue_settings.QueueLimits().queue_bytes, fit)
    try:
        await server.probe()
    except valkey_health.Unusable as error:
        return ABOUT.broken("kind", str(error), "Use cluster mode off, or a cluster of one shard.")
    except errors.OutOfMemory as error:
        return ABOUT.broken("write", str(error), "Give it more memory, or remove what others keep there.")
    except errors.NotNow as error:
        return ABOUT.broken("write", str(error), "Name a primary that takes writes and scripts, and a user that may.")
    return ABOUT.ok("write", "it takes writes and scripts")
