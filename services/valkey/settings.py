"""Where Valkey (or Redis) is."""

import urllib.parse

import pydantic

from services.runtime import settings


def _usable(url: str) -> bool:
    """Whether the client can make something of it. It ignores a database that is no number: the wrong one then."""
    try:
        parts = urllib.parse.urlsplit(url)
        reachable = parts.hostname and parts.port != 0
    except ValueError:  # a port that is none
        return False
    database = parts.path.strip("/")
    return parts.scheme in ("redis", "rediss") and bool(reachable) and (not database or database.isdecimal())


class ValkeySettings(settings.Section):
    """Where Valkey is. REDIS_URL wins over the parts; rediss:// is TLS."""

    redis_url: pydantic.SecretStr = pydantic.Field(pydantic.SecretStr(""), description="redis://… or rediss://…")
    redis_host: settings.Word = pydantic.Field("127.0.0.1", description="Host, when there is no REDIS_URL.")
    redis_port: settings.Port = pydantic.Field(6379, description="Port, when there is no REDIS_URL.")
    redis_db: int = pydantic.Field(0, ge=0, description="Database number, when there is no REDIS_URL.")
    redis_password: pydantic.SecretStr = pydantic.Field(pydantic.SecretStr(""), description="Password, if any.")

    @pydantic.field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: pydantic.SecretStr) -> pydantic.SecretStr:
        text = value.get_secret_value()
        if text and not text.startswith("arn:") and not _usable(text):
            raise ValueError("must be redis://host:port/database, or rediss:// for TLS")
        return value

    @property
    def url(self) -> str:
        """One URL, with the password if there is one."""
        if self.redis_url.get_secret_value():
            return self.redis_url.get_secret_value()
        password = urllib.parse.quote(self.redis_password.get_secret_value(), safe="")
        return f"redis://{f':{password}@' if password else ''}{self.redis_host}:{self.redis_port}/{self.redis_db}"
