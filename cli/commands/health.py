"""``vectorline health``: whether the line is well."""

from __future__ import annotations

import typer

from cli import failures, render, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health", epilog=session.EPILOG)(health)


def health(context: typer.Context) -> None:
    """Show the health of the line. Exits 1 unless it is healthy."""
    here = session.of(context)
    with here.line() as line:
        answer = line.health()
    here.screen.emit(answer)
    here.screen.show(render.health(answer))
    raise typer.Exit(failures.ExitCode.OK if answer.status == "healthy" else failures.ExitCode.FAILED)
