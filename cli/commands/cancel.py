"""``vectorline cancel``: stop a task."""

from __future__ import annotations

import typer

from cli import arguments, outcome, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cancel", epilog=session.examples("cancel TASK"))(cancel)


def cancel(context: typer.Context, task_id: arguments.Task) -> None:
    """Stop a task. What is in flight is still counted, nothing more is bought."""
    here = session.of(context)
    with here.line() as line:
        line.cancel(task_id)
        task = line.task(task_id)
    here.screen.emit(task)
    here.screen.say(f"Task {task_id} is {task.status}; {outcome.rows_with_outcome(task):,} rows have an outcome.")
