"""Valkey's address."""

import pytest

from services.runtime import settings
from services.valkey import settings as valkey_settings


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "redis://127.0.0.1:6379/0"),
        ({"REDIS_URL": "rediss://far:1/2", "REDIS_HOST": "near"}, "rediss://far:1/2"),
        (
            {"REDIS_HOST": "h", "REDIS_PORT": "1", "REDIS_DB": "3", "REDIS_PASSWORD": "a/b@c"},
            "redis://:a%2Fb%40c@h:1/3",
        ),
    ],
)
def test_valkeys_address(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], url: str) -> None:
    for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert settings.load(valkey_settings.ValkeySettings).url == url
