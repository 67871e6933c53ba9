"""``vectorline status``: a task as it is now."""

from __future__ import annotations

import typer

from cli import arguments, outcome, render, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples("status TASK", "status TASK --json --fields status,progress.failed_records")
    app.command("status", epilog=epilog)(status)


def status(context: typer.Context, task_id: arguments.Task) -> None:
    """Show a task. Exits 1 if rows failed or it is failed, cancelled or blocked."""
    here = session.of(context)
    with here.line() as line:
        task = line.task(task_id)
    here.screen.emit(task)
    here.screen.show(render.task_card(task))
    raise typer.Exit(outcome.exit_code(task))
