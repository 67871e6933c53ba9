"""``vectorline rejects``: the rows that failed, with their reasons."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator
from typing import Annotated, Literal

import typer
from vectorline.v1 import ingest_pb2

from cli import failures, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rejects", epilog=session.EPILOG)(rejects)


def rejects(
    context: typer.Context,
    task_id: Annotated[str, typer.Argument(metavar="TASK")],
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
    request = ingest_pb2.GetRejectsRequest(
        task_id=task_id,
        format=file_format or ("jsonl" if here.screen.json else "csv"),
        include=include or "",
    )
    with here.line() as line:
        pieces = (body.data for body in line.rejects(request))
        if output is None:
            _print(pieces)
            return
        size = _write(pieces, output)
    here.screen.say(f"{output}: {size:,} bytes")


def _print(pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _write(pieces: Iterator[bytes], output: pathlib.Path) -> int:
    """Write the whole or nothing: a stream that breaks leaves no half a file under the name that was asked for."""
    part = output.with_name(f"{output.name}.part")
    size = 0
    try:
        with part.open("wb") as stream:
            for piece in pieces:
                size += stream.write(piece)
        part.replace(output)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise failures.CommandError(
            f"{output} cannot be written: {error.strerror or error}.", exit_code=failures.ExitCode.USAGE
        ) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return size
