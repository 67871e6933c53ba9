"""``vectorline bill``: what was spent, and on what."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import arguments, bills, session
from vectorline_client import messages

Hours = Annotated[
    int | None, typer.Option(min=1, max=744, help="The days (UTC) of the last so many hours. Default: 24.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bill", epilog=session.examples("bill", "bill --hours 744 --json", "bill TASK"))(bill)


def bill(
    context: typer.Context,
    task_id: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="One task; without: all days.", autocompletion=arguments.tasks),
    ] = None,
    *,
    hours: Hours = None,
) -> None:
    """Show what was spent, by day, key and namespace; or what one task has cost so far."""
    here = session.of(context)
    if task_id is not None and hours is not None:
        raise typer.BadParameter("is for the bill of all days; a task's is of its whole life.", param_hint="--hours")
    with here.line() as line:
        if task_id is not None:
            cost = line.task(task_id).bill or messages.Bill()
            here.screen.emit(cost)
            here.screen.say(bills.words(cost))
            return
        told = line.bill(hours)
    here.screen.emit(told)
    if told.entries:
        here.screen.show(bills.overview(told))
    else:
        here.screen.say(f"Nothing was spent on the days of the last {told.hours:,} hours.")
