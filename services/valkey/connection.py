"""A client for the queue: fails soon, never retries by itself (the queue's callers know what may be repeated)."""

import asyncio
from collections.abc import Iterable
from typing import Any

import redis.asyncio
import redis.exceptions
from redis.asyncio import connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

ANSWER_SECONDS = 5.0
"""A Valkey that says nothing for so long is hung; longer than any blocking read."""


class _Cancellable(connection.AbstractConnection):
    """Sends under ``asyncio.timeout`` where the library uses ``asyncio.wait_for``.

    Until Python 3.12 ``wait_for`` swallows a cancel that arrives in the tick in which the send ends
    (https://github.com/python/cpython/issues/86296): measured, every fourth cancel of a busy task, and with it every
    fourth ``asyncio.timeout`` around a call.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        seconds, self.socket_timeout = self.socket_timeout, None  # without one the library sends without wait_for
        try:
            async with asyncio.timeout(seconds):
                await super().send_packed_command(command, check_health)
        except TimeoutError as error:
            await self.disconnect(nowait=True)
            raise redis.exceptions.TimeoutError("Valkey does not take what is sent.") from error
        except RuntimeError as error:
            # uvloop's word for a connection that was reset under our hands; to everybody above it is an outage.
            raise redis.exceptions.ConnectionError(f"The connection is closed: {error}") from error
        finally:
            self.socket_timeout = seconds


class _Tcp(_Cancellable, connection.Connection):
    pass


class _Tls(_Cancellable, connection.SSLConnection):
    pass


class _Unix(_Cancellable, connection.UnixDomainSocketConnection):
    pass


_CLASSES: dict[type[connection.AbstractConnection], type[_Cancellable]] = {
    connection.SSLConnection: _Tls,
    connection.UnixDomainSocketConnection: _Unix,
}


def connect(url: str, *, answer_seconds: float = ANSWER_SECONDS) -> redis.asyncio.Redis:
    """A client for ``redis://``, ``rediss://`` or ``unix://``. Connects on first use; close it with ``aclose()``.

    Its calls may be cancelled and put under ``asyncio.timeout`` at any moment.
    """
    options: dict[str, Any] = {**connection.parse_url(url)}
    options["connection_class"] = _CLASSES.get(options.get("connection_class", connection.Connection), _Tcp)
    pool = redis.asyncio.ConnectionPool(
        **options,
        socket_timeout=answer_seconds,
        socket_connect_timeout=min(answer_seconds, 2.0),
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )
    return redis.asyncio.Redis.from_pool(pool)
