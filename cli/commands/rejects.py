"""``vectorline rejects``: the rows that failed, with their reasons."""

from __future__ import annotations

import pathlib
import sys
from typing import Annotated, Literal

import typer

from cli import arguments, failures, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        "rejects TASK -o rejects.csv", "rejects TASK --include skipped", "rejects TASK --format jsonl"
    )
    app.command("rejects", epilog=epilog)(rejects)


def rejects(
    context: typer.Context,
    task_id: arguments.Task,
    file_format: Annotated[
        Literal["csv", "jsonl"] | None, typer.Option("--format", help="Default: csv; jsonl with --json.")
    ] = None,
    include: Annotated[
        Literal["skipped"] | None, typer.Option(help="'skipped': also the rows left out on purpose.")
    ] = None,
    output: Annotated[
        pathlib.Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write there, not to stdout.")
    ] = None,
) -> None:
    """Print the rejected rows: the original columns, row_number, line_number, reason, message and line_text."""
    here = session.of(context)
    form = file_format or ("jsonl" if here.screen.json else "csv")
    skipped = include == "skipped"
    with here.line() as line:
        if output is None:
            for piece in line.rejects_file(task_id, format=form, include_skipped=skipped):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        try:
            size = line.save_rejects(task_id, output, format=form, include_skipped=skipped)
        except OSError as error:
            raise failures.CommandError(
                f"{output} cannot be written: {error.strerror or error}.", exit_code=failures.ExitCode.USAGE
            ) from error
    here.screen.say(f"{output}: {size:,} bytes")
