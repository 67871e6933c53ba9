"""What every command is given: the screen, and the line on demand."""

from __future__ import annotations

import dataclasses
from typing import Final

import typer

import vectorline_client
from cli import endpoints, screen

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


def examples(*commands: str) -> str:
    """What stands under a command's help: how it is called, a line each."""
    return "\n\n".join(["Examples:", *(f"  vectorline {command}" for command in commands), _ALSO])
