"""``vectorline tasks``: what was submitted, newest first."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Literal

import typer

from cli import arguments, render, session
from vectorline_client import filters, outcome


class Status(enum.StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    QUEUED = "queued"
    PROCESSING = "processing"
    PROCESSING_CHUNKS = "processing_chunks"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    PARTIALLY_COMPLETED = "partially_completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FAILED = (Status.FAILED, Status.PARTIALLY_COMPLETED)
OPEN = tuple(status for status in Status if status not in outcome.TERMINAL)


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        "tasks --failed --since 2h",
        "tasks --status blocked --json --fields task_id,error_reason",
        "tasks --namespace v2 --reason index_refused --limit 100",
    )
    app.command("tasks", epilog=epilog)(tasks)


def tasks(
    context: typer.Context,
    *,
    status: Annotated[list[Status] | None, typer.Option(help="Only in this status; may be repeated.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only with failed rows: failed, partially_completed.")
    ] = False,
    running: Annotated[bool, typer.Option("--open", help="Only what is not over: also what is blocked.")] = False,
    since: Annotated[str, typer.Option(metavar="WHEN", help="Only stored since: 2h, 7d, 2026-11-30 or RFC 3339.")] = "",
    task_type: Annotated[
        Literal["s3_csv", "upload", "local_csv", "metabase", "verify", "adopt", "remove"] | None,
        typer.Option("--type", help="Only of this kind: a load's source, or verify, adopt, remove."),
    ] = None,
    namespace: arguments.Namespace = "",
    question_id: Annotated[int | None, typer.Option(metavar="N", help="Only of this question.")] = None,
    reason: Annotated[
        str, typer.Option(help="Only with this error, or with rows rejected for it, e.g. index_refused.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
) -> None:
    """List tasks, newest first."""
    wanted = [*(status or ()), *(FAILED if failed else ()), *(OPEN if running else ())]
    chosen = filters.Filters(limit=limit)
    if since:
        chosen["since"] = _moment(since)
    if task_type:
        chosen["task_type"] = task_type
    if namespace:
        chosen["namespace"] = namespace
    if question_id is not None:
        chosen["question_id"] = question_id
    if reason:
        chosen["reason"] = reason
    here = session.of(context)
    with here.line() as line:
        listed = list(line.tasks(list(dict.fromkeys(wanted)) or None, **chosen))
    for task in listed:
        here.screen.emit(task)
    if listed:
        now = datetime.datetime.now(datetime.UTC)
        here.screen.show(render.tasks_table(listed, now, here.screen.out.width))
    else:
        here.screen.say("No tasks.")


def _moment(since: str) -> datetime.datetime:
    try:
        return filters.moment(since)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error
