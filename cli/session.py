"""What every command is given: the screen, and the line on demand."""

from __future__ import annotations

import dataclasses
from typing import Final

import typer

from cli import connection, endpoints, screen

# Under a command's help: the flags that stand at the root and are understood anywhere on the command line.
EPILOG: Final = "Also --json, --api-key, --tls and the addresses: see `vectorline --help`."


@dataclasses.dataclass(frozen=True)
class Session:
    """One run of the command."""

    screen: screen.Screen
    endpoints: endpoints.Endpoints

    def line(self) -> connection.Line:
        """The line, to be used as a context manager."""
        return connection.Line(self.endpoints)


def of(context: typer.Context) -> Session:
    """The session that the root callback made."""
    session = context.obj
    assert isinstance(session, Session)
    return session
