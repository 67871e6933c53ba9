"""``vectorline health``: whether the line is well."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import facts, failures, render, session
from vectorline_client import messages


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health", epilog=session.examples("health", "health --detailed --json"))(health)


def health(
    context: typer.Context,
    *,
    detailed: Annotated[
        bool, typer.Option("--detailed", help="With all that it is judged by: workers, queue, limits. Needs a key.")
    ] = False,
) -> None:
    """Show the health of the line. Exits 1 unless it is healthy."""
    here = session.of(context)
    with here.line() as line:
        if detailed:
            whole = line.call("GetDetailedHealth", messages.DetailedHealth)
            here.screen.emit(whole)
            here.screen.show(facts.card(whole))
            status = whole.status
        else:
            answer = line.health()
            here.screen.emit(answer)
            here.screen.show(render.health(answer))
            status = answer.status
    raise typer.Exit(failures.ExitCode.OK if status == "healthy" else failures.ExitCode.FAILED)
