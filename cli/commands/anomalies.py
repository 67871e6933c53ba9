"""``vectorline anomalies``: what is not as it should be."""

from __future__ import annotations

import typer

from cli import failures, session
from cli.commands import statistics


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("anomalies", epilog=session.examples("anomalies", "anomalies --hours 2 --json"))(anomalies)


def anomalies(context: typer.Context, *, hours: statistics.Hours = None) -> None:
    """Show what is not as it should be, the gravest first. Exits 1 if there is anything."""
    here = session.of(context)
    with here.line() as line:
        answer = line.anomalies(hours)
    here.screen.emit(answer)
    for each in answer.anomalies:
        about = f"  {each.task_id}" if each.task_id else ""
        here.screen.say(f"{each.severity}: {each.message}{about}", "red" if each.severity == "critical" else "yellow")
    if not answer.anomalies:
        here.screen.say(f"Nothing in the last {answer.hours} hours.", "green")
    raise typer.Exit(failures.ExitCode.FAILED if answer.anomalies else failures.ExitCode.OK)
