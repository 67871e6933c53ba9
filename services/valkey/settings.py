"""Where Valkey (or Redis) is."""

import urllib.parse

import pydantic

from services.runtime import settings
from services.valkey import connection, credentials


def _check(url: str) -> None:
    """Raise ValueError where the client can make nothing of it, or would make something else than is meant."""
    try:
        parts = urllib.parse.urlsplit(url)
        reachable = parts.hostname and parts.port != 0
    except ValueError:  # a port that is none
        reachable = False
    database = parts.path.strip("/") if reachable else ""
    # The client ignores a database that is no number: the wrong one then.
    if not reachable or parts.scheme not in ("redis", "rediss") or (database and not database.isdecimal()):
        raise ValueError("must be redis://host:port/database, or rediss:// for TLS")
    connection.parsed(url)


class ValkeySettings(settings.Section):
    """Where Valkey is. REDIS_URL wins over host, port and database, and its password over REDIS_PASSWORD."""

    redis_url: pydantic.SecretStr = pydantic.Field(
        pydantic.SecretStr(""),
        description="redis://…, or rediss://… for TLS; wins over host, port and database below, and its password over "
        "REDIS_PASSWORD. redis-py's options of time, TLS and pool may stand behind ?, e.g. ssl_ca_certs.",
    )
    redis_host: settings.Word = pydantic.Field("127.0.0.1", description="Host, when there is no REDIS_URL.")
    redis_port: settings.Port = pydantic.Field(6379, description="Port, when there is no REDIS_URL.")
    redis_db: int = pydantic.Field(0, ge=0, description="Database number, when there is no REDIS_URL.")
    redis_password: pydantic.SecretStr = pydantic.Field(
        pydantic.SecretStr(""), description="Password, where REDIS_URL has none."
    )

    @pydantic.field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: pydantic.SecretStr) -> pydantic.SecretStr:
        text = value.get_secret_value()
        if text and not text.startswith("arn:"):
            _check(text)
        return value

    @pydantic.field_validator("redis_password")
    @classmethod
    def _is_one_word(cls, value: pydantic.SecretStr) -> pydantic.SecretStr:
        text = value.get_secret_value()
        if text != text.strip() or not text.isprintable():
            raise ValueError("has characters that cannot be printed, or blanks around it (a line end?)")
        return value

    @property
    def url(self) -> str:
        """One URL, with the password if there is one."""
        if self.redis_url.get_secret_value():
            return self.redis_url.get_secret_value()
        password = urllib.parse.quote(self.redis_password.get_secret_value(), safe="")
        return f"redis://{f':{password}@' if password else ''}{self.redis_host}:{self.redis_port}/{self.redis_db}"

    def proof(self, renew: credentials.Renew) -> credentials.Credentials:
        """User and password as they are at the moment of each connect."""
        return credentials.Live(self.redis_url, self.redis_password, renew)
