"""Retrying what a filter matches: counted first, confirmed, done, told."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer
from rich import table, text

from cli import failures, screen, session, tables
from vectorline_client import messages

_SHOWN = 20  # tasks of which a line is shown


def of_filter(
    here: session.Session, ask: Callable[[bool], messages.RetryTasksResponse], *, dry_run: bool, yes: bool
) -> None:
    """Count, ask, retry.

    Args:
        here: The session.
        ask: Asks the line; True: without doing anything.
        dry_run: Only count.
        yes: Do not ask.

    Raises:
        typer.Exit: Nothing would be retried, or somebody said no.
        failures.CommandError: Nobody can be asked.
    """
    outlook = ask(True)
    if dry_run or not outlook.retried:
        here.screen.emit(outlook)
    _tell(here, outlook, "would be retried")
    if dry_run:
        return
    if not outlook.retried:
        raise typer.Exit(failures.ExitCode.OK if not outlook.matched else failures.ExitCode.FAILED)
    if not yes:
        _confirm(outlook)
    done = ask(False)
    here.screen.emit(done)
    _tell(here, done, "are retried")


def _confirm(outlook: messages.RetryTasksResponse) -> None:
    if not sys.stdin.isatty():
        raise failures.CommandError(
            f"{outlook.retried:,} tasks would be retried; nobody is here to confirm it.",
            exit_code=failures.ExitCode.USAGE,
            hint="--yes retries them, --dry-run only counts.",
        )
    typer.confirm(f"Retry {outlook.retried:,} tasks with {outlook.rows:,} rows?", abort=True, err=True)


def _tell(here: session.Session, answer: messages.RetryTasksResponse, done: str) -> None:
    here.screen.say(f"{answer.matched:,} tasks match; {answer.retried:,} {done}, with {answer.rows:,} rejected rows.")
    for reason, tasks in sorted(answer.refused.items(), key=lambda each: -each[1]):
        here.screen.say(f"  not {tasks:,}: {reason}", "yellow")
    if answer.tasks:
        here.screen.show(_listing(answer))
    if len(answer.tasks) > _SHOWN:
        here.screen.say(f"  and {len(answer.tasks) - _SHOWN:,} more", "dim")


def _listing(answer: messages.RetryTasksResponse) -> table.Table:
    listing = tables.listing()
    for name in ("task", "status", "rows", "retry"):
        listing.add_column(name, no_wrap=True, justify="right" if name == "rows" else "left")
    for each in answer.tasks[:_SHOWN]:
        retry = text.Text(screen.printable(each.reason), "yellow") if each.reason else each.retry_task_id or ""
        listing.add_row(each.task_id, each.status, f"{each.rows:,}", retry)
    return listing
