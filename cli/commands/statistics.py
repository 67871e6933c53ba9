"""``vectorline statistics``: what came of the tasks of the last hours."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import facts, session

Hours = Annotated[int | None, typer.Option(min=1, max=744, help="Tasks of the last so many hours. Default: 24.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("statistics", epilog=session.examples("statistics", "statistics --hours 168 --json"))(statistics)


def statistics(context: typer.Context, *, hours: Hours = None) -> None:
    """Show tasks, rows, failures and pace of the last hours."""
    here = session.of(context)
    with here.line() as line:
        answer = line.statistics(hours)
    here.screen.emit(answer)
    here.screen.show(facts.card(answer))
