"""``vectorline cleanup``: close what a crash left open."""

from __future__ import annotations

import typer

from cli import session
from vectorline_client import messages


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cleanup", epilog=session.examples("cleanup"))(cleanup)


def cleanup(context: typer.Context) -> None:
    """Put the ledger in order, should a crash have kept that from being done. Needs a key with the scope admin.

    The line does it by itself within seconds; nothing is lost by calling it, nor by not calling it.
    """
    here = session.of(context)
    with here.line() as line:
        answer = line.call("HealTasks", messages.HealTasksResponse)
    here.screen.emit(answer)
    here.screen.say(f"{answer.looked_at:,} open tasks were looked at, {len(answer.healed_task_ids):,} put in order.")
