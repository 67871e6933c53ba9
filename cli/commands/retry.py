"""``vectorline retry``: take the rejected rows of a finished task again, or let a blocked one go on."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import session
from cli.commands import watch


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("retry", epilog=session.EPILOG)(retry)


def retry(
    context: typer.Context,
    task_id: Annotated[str, typer.Argument(metavar="TASK")],
    every: Annotated[
        bool, typer.Option("--all", help="Rows rejected for any reason, not only those that may go through now.")
    ] = False,
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Follow the task until it is over.")] = False,
) -> None:
    """Take the rejected rows of a finished task again, in a new task; let a blocked task go on."""
    here = session.of(context)
    with here.line() as line:
        stored = line.retry_task(task_id, every=every)
    here.screen.emit(stored)
    here.screen.say(f"Task {stored.task_id} is {stored.status}. {stored.message}")
    if follow:
        raise typer.Exit(watch.until_over(here, stored.task_id))
