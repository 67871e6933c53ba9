"""User and password, asked for at each connect: one that is rotated is used from the next connection on."""

import urllib.parse
from collections.abc import Awaitable, Callable

import pydantic
import redis.credentials

Renew = Callable[[pydantic.SecretStr, str], Awaitable[bool]]
"""Looks for a new value of a secret unless it is another one by now than this; `runtime.secrets.renewed` does."""


class Credentials(redis.credentials.CredentialProvider):
    """Says who we are; nothing at all: the server asks for no password."""

    def get_credentials(self) -> tuple[()] | tuple[str] | tuple[str, str]:  # type: ignore[override]  # none is possible
        """Password, or user and password."""
        raise NotImplementedError

    async def get_credentials_async(self) -> tuple[()] | tuple[str] | tuple[str, str]:  # type: ignore[override]
        """The same; it is what the client asks."""
        return self.get_credentials()

    async def refused(self) -> None:
        """The server did not take them: look for newer ones."""


class Fixed(Credentials):
    """The same for ever."""

    def __init__(self, username: str, password: str) -> None:
        self._told = _told(username, password)

    def get_credentials(self) -> tuple[()] | tuple[str] | tuple[str, str]:  # type: ignore[override]
        """See `Credentials`."""
        return self._told


class Live(Credentials):
    """Those of an address, or a password beside one, that may be secrets by ARN.

    Args:
        url: The address; empty: there is only a password.
        password: Counts where the address has none.
        renew: How to look for a new one.
    """

    def __init__(self, url: pydantic.SecretStr, password: pydantic.SecretStr, renew: Renew) -> None:
        self._url = url
        self._password = password
        self._renew = renew

    def get_credentials(self) -> tuple[()] | tuple[str] | tuple[str, str]:  # type: ignore[override]
        """See `Credentials`."""
        parts = urllib.parse.urlsplit(self._url.get_secret_value())
        password = urllib.parse.unquote(parts.password or "") or self._password.get_secret_value()
        return _told(urllib.parse.unquote(parts.username or ""), password)

    async def refused(self) -> None:
        """Look for a new secret, so that the next connect may use it."""
        secret = self._url if urllib.parse.urlsplit(self._url.get_secret_value()).password else self._password
        await self._renew(secret, secret.get_secret_value())


def _told(username: str, password: str) -> tuple[()] | tuple[str] | tuple[str, str]:
    if username:
        return username, password
    return (password,) if password else ()
