"""``vectorline status``: a task as it is now."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import outcome, render, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status", epilog=session.EPILOG)(status)


def status(context: typer.Context, task_id: Annotated[str, typer.Argument(metavar="TASK")]) -> None:
    """Show a task. Exits 1 if rows failed or it is failed, cancelled or blocked."""
    here = session.of(context)
    with here.line() as line:
        task = line.get_task(task_id)
    here.screen.emit(task)
    here.screen.show(render.task_card(task))
    raise typer.Exit(outcome.exit_code(task))
