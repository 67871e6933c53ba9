"""``vectorline pace``: how far tasks are, and how fast."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import arguments, facts, session
from vectorline_client import messages

_COLUMNS = ("task_id", "status", "rows_per_second", "estimated_completion_time")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("pace", epilog=session.examples("pace", "pace TASK --json --fields rows_per_second"))(pace)


def pace(
    context: typer.Context,
    task_id: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="One task; without: all open ones.", autocompletion=arguments.tasks),
    ] = None,
) -> None:
    """Show how far the open tasks are and how fast, or one task."""
    here = session.of(context)
    with here.line() as line:
        if task_id is not None:
            one = line.call("GetTaskProgress", messages.TaskPace, task_id=task_id)
            here.screen.emit(one)
            here.screen.show(facts.card(one))
            return
        answer = line.call("GetActiveProgress", messages.ActiveProgress)
    here.screen.emit(answer)
    if answer.tasks:
        here.screen.show(facts.listing(answer.tasks, _COLUMNS, most=1000))
    here.screen.say(f"{answer.total:,} open tasks.")
