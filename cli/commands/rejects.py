"""``vectorline rejects``: the rows that failed, with their reasons."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator
from typing import Annotated, Literal

import typer

import vectorline_client
from cli import arguments, failures, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        "rejects TASK -o rejects.csv",
        "rejects TASK --include skipped",
        "rejects TASK --include gone",
        "rejects TASK --format jsonl",
    )
    app.command("rejects", epilog=epilog)(rejects)


def rejects(
    context: typer.Context,
    task_id: arguments.Task,
    file_format: Annotated[
        Literal["csv", "jsonl"] | None, typer.Option("--format", help="Default: csv; jsonl with --json.")
    ] = None,
    include: Annotated[
        Literal["skipped", "gone"] | None,
        typer.Option(
            help="'skipped': also the rows left out on purpose. 'gone': the ids that a mirror removes, or would."
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write there, not to stdout.")
    ] = None,
) -> None:
    """Print the rejected rows: the original columns, row_number, line_number, reason, message and line_text."""
    here = session.of(context)
    form = file_format or ("jsonl" if here.screen.json else "csv")
    with here.line() as line:
        if output is None:
            for piece in _pieces(line, task_id, form, include):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        try:
            if include == "gone":
                size = line.save_gone(task_id, output, format=form)
            else:
                size = line.save_rejects(task_id, output, format=form, include_skipped=include == "skipped")
        except OSError as error:
            raise failures.CommandError(
                f"{output} cannot be written: {error.strerror or error}.", exit_code=failures.ExitCode.USAGE
            ) from error
    here.screen.say(f"{output}: {size:,} bytes")


def _pieces(line: vectorline_client.Client, task_id: str, form: str, include: str | None) -> Iterator[bytes]:
    if include == "gone":
        return line.gone_file(task_id, format=form)
    return line.rejects_file(task_id, format=form, include_skipped=include == "skipped")
