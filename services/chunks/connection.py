"""A client for the queue: fails soon, never retries by itself (the queue's callers know what may be repeated)."""

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

ANSWER_SECONDS = 5.0
"""A Valkey that says nothing for so long is hung; longer than any blocking read."""


def connect(url: str, *, answer_seconds: float = ANSWER_SECONDS) -> redis.asyncio.Redis:
    """A client for ``redis://``, ``rediss://`` or ``unix://``. Connects on first use; close it with ``aclose()``."""
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=answer_seconds,
        socket_connect_timeout=min(answer_seconds, 2.0),
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )
