"""``vectorline tasks``: what was submitted, newest first."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Annotated, Final, Literal

import typer
from vectorline.v1 import indexer_pb2, task_pb2

from cli import connection, render, session

PAGE_LIMIT: Final = 1000  # the most that ListTasks gives at once

Status = Literal[
    "pending",
    "queued",
    "processing",
    "processing_chunks",
    "blocked",
    "completed",
    "partially_completed",
    "failed",
    "cancelled",
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tasks", epilog=session.EPILOG)(tasks)


def tasks(
    context: typer.Context,
    status: Annotated[Status | None, typer.Option(help="Only tasks in this status.")] = None,
    task_type: Annotated[
        Literal["s3_csv", "upload", "local_csv", "metabase"] | None,
        typer.Option("--type", help="Only tasks of this kind of source."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
) -> None:
    """List tasks, newest first."""
    here = session.of(context)
    with here.line() as line:
        listed = list(_pages(line, status or "", task_type or "", limit))
    for task in listed:
        here.screen.emit(task)
    if listed:
        now = datetime.datetime.now(datetime.UTC)
        here.screen.show(render.tasks_table(listed, now, here.screen.out.width))
    else:
        here.screen.say("No tasks.")


def _pages(line: connection.Line, status: str, task_type: str, limit: int) -> Iterator[task_pb2.Task]:
    token = ""
    while limit > 0:
        page = line.list_tasks(
            indexer_pb2.ListTasksRequest(
                page_size=min(limit, PAGE_LIMIT), page_token=token, status_filter=status, task_type=task_type
            )
        )
        yield from page.tasks[:limit]
        limit -= len(page.tasks)
        token = page.next_page_token
        if not token:
            return
