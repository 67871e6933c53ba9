"""What ``process`` and ``estimate`` have in common: where a source is, and how a file is sent."""

from __future__ import annotations

import pathlib
import stat
import sys
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import typer
from vectorline.v1 import ingest_pb2

from cli import failures, progress, session, upload

S3_PREFIX: Final = "s3://"
KEY_PREFIX: Final = "key:"
UPLOAD_PREFIX: Final = "upload:"
STANDARD_INPUT: Final = "-"

Source = Annotated[
    str,
    typer.Argument(
        metavar="FILE|-|s3://BUCKET/KEY|key:KEY|upload:ID",
        help="A file or pipe (uploaded; -: standard input), an object in S3, a key of the line's bucket, an upload.",
    ),
]

Answer = TypeVar("Answer")


def submit(
    source: str,
    options: ingest_pb2.ProcessRequest,
    *,
    file: Callable[[upload.Content], Answer],
    stored: Callable[[], Answer],
) -> Answer:
    """Do what there is to do for a source.

    Args:
        source: As it stands on the command line.
        options: Told where the source is, unless it is sent from here.
        file: Sends what is here: a file, a pipe, standard input.
        stored: Sends the options of what is stored already.

    Raises:
        typer.BadParameter: The source is nothing of all that.
    """
    if source.startswith(UPLOAD_PREFIX):
        options.data_source = "upload"
        options.upload_id = source.removeprefix(UPLOAD_PREFIX)
        return stored()
    if source.startswith((S3_PREFIX, KEY_PREFIX)):
        options.data_source = "s3_csv"
        options.s3_key = source.removeprefix(KEY_PREFIX)
        return stored()
    return file(_standard_input() if source == STANDARD_INPUT else _here(source))


def send(
    here: session.Session, content: upload.Content, options: ingest_pb2.ProcessRequest, *, estimate: bool = False
) -> ingest_pb2.ProcessResponse:
    """Upload what is here, with a bar on a terminal."""
    # Fields 1 to 24 and 33 to 42 of both are the same on the wire (ingest.proto), so nothing is copied by name.
    first = ingest_pb2.UploadRequest.FromString(options.SerializeToString())
    first.estimate = estimate
    try:
        with (
            here.line() as line,
            progress.upload_display(here.screen, content.name, content.size_bytes) as display,
        ):
            sending = upload.Upload(content, first, on_sent=display.sent)
            try:
                return line.upload(sending.messages())
            except failures.CommandError as failure:
                if sending.read_error:
                    raise _unreadable(content, sending.read_error) from failure
                raise
    except KeyboardInterrupt:
        here.screen.say("Upload stopped before its end; the line drops what it got.", "yellow")
        raise


def _here(source: str) -> upload.Content:
    path = pathlib.Path(source).expanduser()
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise typer.BadParameter(
            f"There is no file {source}. An object in S3 is s3://bucket/key, one of the line's bucket key:{source}.",
            param_hint="FILE",
        ) from error
    if stat.S_ISREG(found.st_mode):
        return upload.of_file(path, found.st_size)
    if stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode):
        return upload.of_pipe(path)
    what = "a folder" if stat.S_ISDIR(found.st_mode) else "no file"
    raise typer.BadParameter(f"{source} is {what}; name one file.", param_hint="FILE")


def _standard_input() -> upload.Content:
    if sys.stdin.isatty():
        raise typer.BadParameter("Standard input is the terminal; send a file into it: … | vectorline process -")
    return upload.of_stream(sys.stdin.buffer)


def _unreadable(content: upload.Content, error: OSError) -> failures.CommandError:
    reason = error.strerror or str(error)
    return failures.CommandError(
        f"{content.shown} cannot be read: {reason}. No task was made.", exit_code=failures.ExitCode.USAGE
    )
