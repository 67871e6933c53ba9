"""Arguments and options that several commands have, with what a shell completes them by."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Annotated, Final

import typer

import vectorline_client
from cli import endpoints, failures
from vectorline_client import messages

# A shell waits for it with every key that is pressed.
COMPLETION_SECONDS: Final = 2.0
COMPLETED_TASKS: Final = 100


def tasks(incomplete: str) -> list[tuple[str, str]]:
    """The newest tasks whose ids begin so, each with what it is."""
    return [
        (task.task_id, f"{task.status} {task.metadata.source or ''}".strip())
        for task in _newest()
        if task.task_id.startswith(incomplete)
    ]


def namespaces(incomplete: str) -> list[str]:
    """The namespaces of the newest tasks that begin so."""
    found = dict.fromkeys(task.metadata.namespace for task in _newest())
    return [name for name in found if name.startswith(incomplete)]


def _newest() -> Iterator[messages.Task]:
    """The newest tasks of the line that the environment or a profile names; none where it does not answer."""
    with contextlib.suppress(failures.CommandError, vectorline_client.VectorlineError):
        where = endpoints.resolve({}, os.environ, pathlib.Path.cwd())
        with where.client(COMPLETION_SECONDS) as line:
            yield from line.tasks(limit=COMPLETED_TASKS)


Task = Annotated[str, typer.Argument(metavar="TASK", help="The id of a task.", autocompletion=tasks)]
Namespace = Annotated[str, typer.Option(help="Only of this namespace.", autocompletion=namespaces)]
