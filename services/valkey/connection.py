"""A client for the queue: fails soon, never retries by itself (the queue's callers know what may be repeated).

A connection whose node says that it does not serve writes any more is closed before the error is raised, so that the
next call looks the address up anew and finds the new primary: a demoted node keeps its clients.
"""

import asyncio
import contextlib
import urllib.parse
from collections.abc import Iterable
from typing import Any, Final

import redis.asyncio
import redis.exceptions
from redis.asyncio import connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.valkey import credentials, errors

ANSWER_SECONDS = 5.0
"""A Valkey that says nothing for so long is hung; longer than any blocking read."""
CONNECT_SECONDS = 2.0
MOST_CONNECTIONS = 100
URL_OPTIONS: Final = frozenset(
    {"db", "client_name", "health_check_interval", "max_connections", "protocol", "socket_connect_timeout"}
    | {"socket_keepalive", "socket_timeout", "ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile"}
    | {"ssl_check_hostname", "ssl_keyfile"}
)
"""What may stand behind the question mark of an address: options of redis-py that change nothing we rely on."""

LEAST: Final = {"socket_timeout": 2, "socket_connect_timeout": 1, "max_connections": 1, "health_check_interval": 0}
"""The smallest values of those of them that are numbers."""


class _Cancellable(connection.AbstractConnection):
    """Sends under ``asyncio.timeout`` where the library uses ``asyncio.wait_for``, and leaves a node that was demoted.

    Until Python 3.12 ``wait_for`` swallows a cancel that arrives in the tick in which the send ends
    (https://github.com/python/cpython/issues/86296): measured, every fourth cancel of a busy task, and with it every
    fourth ``asyncio.timeout`` around a call.
    """

    # Its node does not serve writes: the pool's other connections are no better.
    left = False

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

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except redis.exceptions.RedisError as error:
            if errors.left(error):
                self.left = True
                self.moved(error)
                await self.disconnect(nowait=True)
            raise

    def moved(self, error: redis.exceptions.RedisError) -> None:
        """The node may have said which other one to ask."""

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        try:
            await super().on_connect_check_health(check_health)
        except redis.exceptions.AuthenticationError:
            if isinstance(self.credential_provider, credentials.Credentials):
                await self.credential_provider.refused()
            raise


class _Address:
    """Where all connections of a pool go: to the address, or to the node that one of them was sent on to.

    In a cluster of one shard its name may lead to a replica, which says where the primary is. For as long as that can
    be reached and serves; then by the name again.
    """

    def __init__(self, host: str, port: int) -> None:
        self._home = self.now = (host, port)

    def go_to(self, host: str, port: int) -> None:
        """Follow."""
        self.now = (host, port)

    def go_home(self) -> None:
        """By the name again."""
        self.now = self._home


class _Following(_Cancellable):
    host: str
    port: int

    def __init__(self, *, address: _Address, **options: Any) -> None:
        super().__init__(**options)
        self._address = address

    def moved(self, error: redis.exceptions.RedisError) -> None:
        if isinstance(error, redis.exceptions.MovedError) and error.host not in ("", "?"):
            self._address.go_to(error.host, error.port)
        else:
            self._address.go_home()

    async def _connect(self) -> None:
        self.host, self.port = self._address.now
        try:
            await super()._connect()  # type: ignore[safe-super, no-untyped-call]  # the class beside this one has it
        except BaseException:
            self._address.go_home()
            raise


class _Tcp(_Following, connection.Connection):
    pass


class _Tls(_Following, connection.SSLConnection):
    pass


class _Unix(_Cancellable, connection.UnixDomainSocketConnection):
    pass


_CLASSES: dict[type[connection.AbstractConnection], type[_Cancellable]] = {
    connection.SSLConnection: _Tls,
    connection.UnixDomainSocketConnection: _Unix,
}


class _Pool(redis.asyncio.ConnectionPool):
    """Where the library's pool fails when all connections are in use, a call waits its turn.

    Its BlockingConnectionPool awaits a lock to give a connection back, so a cancel at that moment loses it for good;
    a semaphore is given back without one.
    """

    def __init__(self, wait_seconds: float, max_connections: int, **options: Any) -> None:
        super().__init__(max_connections=max_connections, **options)
        self._wait_seconds = wait_seconds
        self._places = asyncio.Semaphore(max_connections)
        self._lent: set[connection.AbstractConnection] = set()

    async def get_connection(self, *_arguments: Any, **_options: Any) -> connection.AbstractConnection:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._places.acquire()
        except TimeoutError as error:
            words = f"All {self.max_connections} connections were in use for {self._wait_seconds:g} s."
            raise redis.exceptions.ConnectionError(words) from error
        try:
            lent: connection.AbstractConnection = await super().get_connection()  # type: ignore[no-untyped-call]
        except BaseException:
            self._places.release()
            raise
        self._lent.add(lent)
        return lent

    async def release(self, connection: connection.AbstractConnection) -> None:
        try:
            if getattr(connection, "left", False):
                connection.left = False  # type: ignore[attr-defined]  # all of ours have it
                with contextlib.suppress(redis.exceptions.RedisError):
                    await self.disconnect(inuse_connections=False)
            await super().release(connection)
        finally:
            if connection in self._lent:
                self._lent.remove(connection)
                self._places.release()


def parsed(url: str) -> dict[str, Any]:
    """The options of a client for an address.

    Raises:
        ValueError: It is no address of a Valkey, or has an option that is not for it to choose; says which.
    """
    parts = urllib.parse.urlsplit(url)
    unknown = sorted({name for name, _ in urllib.parse.parse_qsl(parts.query, keep_blank_values=True)} - URL_OPTIONS)
    if unknown:
        raise ValueError(f"has the option {unknown[0]!r}; possible are {', '.join(sorted(URL_OPTIONS))}")
    options = {**connection.parse_url(url)}
    for name, least in LEAST.items():
        if name in options and not float(str(options[name])) >= least:
            raise ValueError(f"has {name}={options[name]}; at least {least} is possible")
    return options


def connect(
    url: str, *, answer_seconds: float = ANSWER_SECONDS, proof: credentials.Credentials | None = None
) -> redis.asyncio.Redis:
    """A client for ``redis://``, ``rediss://`` or ``unix://``. Connects on first use; close it with ``aclose()``.

    Its calls may be cancelled and put under ``asyncio.timeout`` at any moment. What the address chooses (`URL_OPTIONS`)
    goes before what is chosen here.

    Args:
        url: The address.
        answer_seconds: A server that says nothing for so long is hung.
        proof: Asked for them at each connect, in place of user and password of the address.
    """
    options: dict[str, Any] = {
        "socket_timeout": answer_seconds,
        "socket_connect_timeout": min(answer_seconds, CONNECT_SECONDS),
        "health_check_interval": 15,
        "max_connections": MOST_CONNECTIONS,
        **parsed(url),
    }
    if "path" not in options:
        options["address"] = _Address(options.get("host", "localhost"), options.get("port", 6379))
    told = credentials.Fixed(options.pop("username", ""), options.pop("password", ""))
    options["connection_class"] = _CLASSES.get(options.get("connection_class", connection.Connection), _Tcp)
    pool = _Pool(
        **options,
        wait_seconds=options["socket_timeout"],
        credential_provider=proof or told,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )
    return redis.asyncio.Redis.from_pool(pool)
