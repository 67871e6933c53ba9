"""``vectorline watch``: follow a task until it is over."""

from __future__ import annotations

import typer

import vectorline_client
from cli import arguments, failures, outcome, progress, render, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch", epilog=session.examples("watch TASK", "watch TASK --json"))(watch)


def watch(context: typer.Context, task_id: arguments.Task) -> None:
    """Follow a task until it is over. Ctrl-C leaves it running."""
    raise typer.Exit(until_over(session.of(context), task_id))


def begun(here: session.Session, handle: vectorline_client.TaskHandle, *, follow: bool) -> None:
    """Say that a task is stored; then follow it, or say how to.

    Raises:
        typer.Exit: With the exit code of its outcome, if it was followed.
    """
    stored = handle.submitted
    here.screen.emit(stored)
    here.screen.say(f"Task {stored.task_id} is {stored.status}.")
    if follow:
        raise typer.Exit(until_over(here, stored.task_id))
    here.screen.say(f"  vectorline watch {stored.task_id}", "cyan")


def until_over(here: session.Session, task_id: str) -> failures.ExitCode:
    """Show the task's progress and then what it came to.

    Returns:
        The exit code of its outcome.

    Raises:
        KeyboardInterrupt: Ctrl-C, after saying how to go on; the task itself is not touched.
        failures.CommandError: The line refuses or cannot be reached.
    """
    task = None
    try:
        with here.line() as line, progress.task_display(here.screen) as display:
            for task in line.watch(task_id, on_break=display.reconnecting):
                display.show(task)
    except KeyboardInterrupt:
        here.screen.say(f"Detached; task {task_id} goes on.", "yellow")
        here.screen.say(f"  vectorline watch {task_id}\n", "cyan")
        here.screen.say(f"  vectorline cancel {task_id}", "cyan")
        raise
    except vectorline_client.ApiError as error:
        failure = failures.of_client(error)
        if failure.exit_code is failures.ExitCode.UNREACHABLE:
            failure.hint = f"The task goes on without this command. Watch it again: vectorline watch {task_id}"
        raise failure from error
    assert task is not None  # a stream without a task is a break, and breaks end in an error
    here.screen.show(render.task_summary(task))
    return outcome.exit_code(task)
