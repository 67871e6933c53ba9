"""``vectorline confirm``: let a held mirror remove what left its file."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli import arguments, failures, session
from cli.commands import watch
from vectorline_client import messages

SHOWN = 10  # ids


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples("confirm TASK", "confirm TASK --checksum 5f3a --watch")
    app.command("confirm", epilog=epilog)(confirm)


def confirm(
    context: typer.Context,
    task_id: arguments.Task,
    *,
    checksum: Annotated[
        str, typer.Option(metavar="SUM", help="Of the list of ids as it was looked at; then nobody is asked.")
    ] = "",
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Follow the task until it is over.")] = False,
) -> None:
    """Let a held mirror (MIRROR_HELD) remove the ids that are not in its file any more.

    Without --checksum it says how many there are, shows some, and asks. `rejects TASK --include gone` has all of them.
    """
    here = session.of(context)
    with here.line() as line:
        if not checksum:
            held = line.task(task_id).held
            if held is None:
                raise failures.CommandError(
                    f"Task {task_id} is no held mirror: there is nothing to confirm.",
                    exit_code=failures.ExitCode.FAILED,
                )
            here.screen.say(f"{held.gone:,} of {held.entries:,} ids would be removed; {held.why}.")
            for vector_id, _ in zip(line.gone(task_id), range(SHOWN), strict=False):
                here.screen.say(f"  {vector_id}", "dim")
            if held.gone > SHOWN:
                here.screen.say(f"  and {held.gone - SHOWN:,} more: vectorline rejects {task_id} --include gone", "dim")
            _ask(held, task_id)
            checksum = held.checksum
        confirmed = line.confirm(task_id, checksum).submitted
    here.screen.emit(confirmed)
    here.screen.say(f"Task {confirmed.task_id} is {confirmed.status}. {confirmed.message}")
    if follow:
        raise typer.Exit(watch.until_over(here, confirmed.task_id))


def _ask(held: messages.HeldMirror, task_id: str) -> None:
    if not sys.stdin.isatty():
        raise failures.CommandError(
            f"{held.gone:,} ids would be removed; nobody is here to confirm it.",
            exit_code=failures.ExitCode.USAGE,
            hint=f"vectorline confirm {task_id} --checksum {held.checksum}",
        )
    typer.confirm(f"Remove {held.gone:,} vectors?", abort=True, err=True)
