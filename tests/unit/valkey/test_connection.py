"""What an address may choose, and what is refused of it by name; a pool that waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pydantic
import pytest
import redis.asyncio
import redis.exceptions

from services.runtime import secrets
from services.valkey import connection, credentials
from services.valkey import settings as valkey_settings


def made(url: str) -> dict[str, Any]:
    return dict(connection.connect(url).connection_pool.connection_kwargs)


def test_an_address_chooses_before_us() -> None:
    chosen = made("redis://h:7/2?socket_timeout=3&health_check_interval=0&socket_connect_timeout=1&client_name=x")

    names = ("host", "port", "db", "socket_timeout", "health_check_interval", "socket_connect_timeout", "client_name")
    assert [chosen[name] for name in names] == ["h", 7, 2, 3.0, 0, 1.0, "x"]
    assert made("redis://h")["socket_timeout"] == connection.ANSWER_SECONDS


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://h/0?decode_responses=true", "decode_responses"),
        ("redis://h/0?retry_on_timeout=1", "retry_on_timeout"),
        ("redis://h/0?nonsense=", "nonsense"),
        ("redis://h/0?socket_timeout=soon", "socket_timeout"),
        ("redis://h/0?socket_timeout=0.5", "at least 2"),
        ("redis://h/0?socket_timeout=nan", "at least 2"),
        ("redis://h/0?max_connections=0", "at least 1"),
        ("redis://h/zero", "redis://host:port/database"),
        ("http://h/0", "redis://host:port/database"),
    ],
)
def test_what_an_address_cannot_choose_is_refused_at_start_by_name(url: str, words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words) as caught:
        valkey_settings.ValkeySettings(redis_url=pydantic.SecretStr(url))
    assert caught.value.errors()[0]["loc"] == ("redis_url",)


@pytest.mark.parametrize("password", ["secret\n", " secret", "sec\tret"])
def test_a_password_with_a_line_end_is_refused(password: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="line end"):
        valkey_settings.ValkeySettings(redis_password=pydantic.SecretStr(password))


async def _never() -> None:
    raise AssertionError


def test_user_and_password_are_those_of_the_moment() -> None:
    url, password = secrets.LiveSecret("redis://ann:a%2Fb@h", _never), secrets.LiveSecret("one", _never)
    both, alone = (
        credentials.Live(*each, secrets.renewed) for each in ((url, password), (pydantic.SecretStr(""), password))
    )
    assert both.get_credentials() == ("ann", "a/b")
    assert alone.get_credentials() == ("one",)

    # An address without one, as of a server whose password is a secret of its own, by TLS.
    beside = credentials.Live(pydantic.SecretStr("rediss://h:6379/0"), password, secrets.renewed)
    of_ann = credentials.Live(pydantic.SecretStr("rediss://ann@h:6379/0"), password, secrets.renewed)
    assert (beside.get_credentials(), of_ann.get_credentials()) == (("one",), ("ann", "one"))

    url.renew("redis://:c@h")
    password.renew("two")
    assert beside.get_credentials() == ("two",)

    assert both.get_credentials() == ("c",)
    assert alone.get_credentials() == ("two",)
    assert credentials.Fixed("", "").get_credentials() == ()
    assert credentials.Fixed("ann", "").get_credentials() == ("ann", "")


async def test_of_what_was_refused_the_secret_that_was_sent_is_looked_up_anew() -> None:
    asked: list[str] = []

    async def renew(_secret: pydantic.SecretStr, value: str) -> bool:
        asked.append(value)
        return False

    password = pydantic.SecretStr("hush")
    for url in ("", "rediss://h:1/0", "rediss://ann:own@h:1/0"):
        await credentials.Live(pydantic.SecretStr(url), password, renew).refused()

    assert asked == ["hush", "hush", "rediss://ann:own@h:1/0"]


class Server:
    """Answers every command with +OK (a map to HELLO is not asked for: protocol 2), as late as it is told."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while line := await reader.readline():
                if line.startswith(b"*"):
                    for _ in range(2 * int(line[1:])):
                        await reader.readline()
                    await asyncio.sleep(self.seconds)
                    writer.write(b"+OK\r\n")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def connected(server: Server, connections: int, **chosen: Any) -> AsyncIterator[redis.asyncio.Redis]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        url = f"redis://127.0.0.1:{port}?protocol=2&health_check_interval=0&max_connections={connections}"
        client = connection.connect(url, **chosen)
        yield client
        await client.aclose()
        await asyncio.sleep(0.01)  # the server's side sees it


async def test_more_calls_than_connections_wait_their_turn() -> None:
    server = Server(0.01)
    async with connected(server, 3) as client:
        answers = await asyncio.gather(*(client.set("k", "v") for _ in range(60)))

        assert all(answers)
        assert server.connections == 3


async def test_a_pool_that_stays_full_says_so_in_time_and_cancels_lose_no_place() -> None:
    server = Server(0.3)
    async with connected(server, 2, answer_seconds=0.5) as client:
        calls = [asyncio.create_task(client.set("k", "v")) for _ in range(12)]
        with pytest.raises(redis.exceptions.ConnectionError, match="2 connections were in use"):
            await asyncio.gather(*calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        server.seconds = 0.0

        assert all(await asyncio.gather(*(client.set("k", "v") for _ in range(10))))
