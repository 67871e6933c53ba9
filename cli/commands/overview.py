"""``vectorline overview``: everything about tasks at a glance."""

from __future__ import annotations

import typer

from cli import facts, session
from cli.commands import statistics


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples("overview", "overview --hours 2 --json --fields open_by_status,statistics.tasks")
    app.command("overview", epilog=epilog)(overview)


def overview(context: typer.Context, *, hours: statistics.Hours = None) -> None:
    """Show statistics, open tasks and what is not as it should be in one answer."""
    here = session.of(context)
    with here.line() as line:
        answer = line.dashboard(hours)
    here.screen.emit(answer)
    here.screen.show(facts.card(answer))
