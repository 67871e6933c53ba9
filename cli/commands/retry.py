"""``vectorline retry``: take rejected rows again, of one task or of all that a filter matches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import typer

import vectorline_client
from cli import arguments, retries, session
from cli.commands import watch
from vectorline_client import messages


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        "retry TASK --watch",
        "retry --status failed --reason index_refused --since 2h",
        "retry --namespace v2 --all --yes",
        "retry --status blocked --dry-run",
    )
    app.command("retry", epilog=epilog)(retry)


def retry(
    context: typer.Context,
    task_id: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="One task.", autocompletion=arguments.tasks)
    ] = None,
    *,
    status: Annotated[
        Literal["failed", "partially_completed", "cancelled", "blocked"] | None,
        typer.Option(help="Every task in this status."),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Every task with this error, or with rows rejected for it, e.g. index_refused.")
    ] = "",
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Every task stored since: 2h, 7d, 2026-11-30 or RFC 3339.")
    ] = "",
    namespace: Annotated[
        str, typer.Option(help="Every task of this namespace.", autocompletion=arguments.namespaces)
    ] = "",
    question_id: Annotated[int | None, typer.Option(metavar="N", help="Every task of this question.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Rows rejected for any reason, not only those that may go through now.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many there are, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Retry without asking.")] = False,
    follow: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Follow the task until it is over; of one task.")
    ] = False,
) -> None:
    """Take the rejected rows of a finished task again, in a new task; let a blocked task go on.

    Without a task: of every task that the filter matches. They are counted first, and you are asked.
    """
    here = session.of(context)
    chosen = {
        "status": status,
        "reason": reason or None,
        "since": since or None,
        "namespace": namespace or None,
        "question_id": question_id,
    }
    filtered = any(value is not None for value in chosen.values())
    if (task_id is not None) == filtered:
        raise typer.BadParameter("name one task, or a filter: --status, --reason, --since, --namespace, --question-id.")
    if task_id is not None:
        _one(here, task_id, every=every, follow=follow)
        return
    with here.line() as line:
        retries.of_filter(here, lambda dry: _ask(line, chosen, every=every, dry_run=dry), dry_run=dry_run, yes=yes)


def _ask(
    line: vectorline_client.Client, chosen: Mapping[str, object], *, every: bool, dry_run: bool
) -> messages.RetryTasksResponse:
    return line.retry_tasks(all=every, dry_run=dry_run, **chosen)  # type: ignore[arg-type]  # each by its own name


def _one(here: session.Session, task_id: str, *, every: bool, follow: bool) -> None:
    with here.line() as line:
        stored = line.retry(task_id, all=every).submitted
    here.screen.emit(stored)
    here.screen.say(f"Task {stored.task_id} is {stored.status}. {stored.message}")
    if follow:
        raise typer.Exit(watch.until_over(here, stored.task_id))
