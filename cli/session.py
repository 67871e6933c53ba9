"""What every command is given: the screen, the line on demand, and for some a module of the services."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, Final

import typer

import vectorline_client
from cli import endpoints, failures, screen

# Under a command's help: the flags that stand at the root and are understood anywhere on the command line.
_ALSO: Final = "Also --json, --fields, --profile, --api-key, --tls and the addresses: see vectorline --help."


@dataclasses.dataclass(frozen=True)
class Session:
    """One run of the command."""

    screen: screen.Screen
    endpoints: endpoints.Endpoints

    def line(self, *, seconds: float = 30.0) -> vectorline_client.Client:
        """The line, to be used as a context manager; `seconds` for a call that has no deadline of its own."""
        return self.endpoints.client(seconds)


def of(context: typer.Context) -> Session:
    """The session that the root callback made."""
    session = context.obj
    assert isinstance(session, Session)
    return session


def service(module: str, command: str) -> Any:
    """A module of the services, by name and only when it is asked for: no other command needs it or its libraries.

    Raises:
        failures.CommandError: The command is installed without the services, or without what they need.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise failures.CommandError(
            f"{missing.name} is not installed: `{command}` needs the services beside the command.",
            exit_code=failures.ExitCode.USAGE,
        ) from missing


def examples(*commands: str) -> str:
    """What stands under a command's help: how it is called, a line each."""
    return "\n\n".join(["Examples:", *(f"  vectorline {command}" for command in commands), _ALSO])
