"""What ``process`` and ``estimate`` have in common: where a source is, and how a file is sent."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import stat
import sys
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO, Final

import typer

from cli import failures, progress, session

PIPE_NAME: Final = "stdin.csv"  # what has no name of its own is called
STANDARD_INPUT: Final = "-"
UPLOAD_PREFIX: Final = "upload:"
# What is stored already, by what its name begins with: the options that say so.
_STORED: Final = {
    "s3://": ("s3_csv", "s3_key"),
    "key:": ("s3_csv", "s3_key"),
    "local:": ("local_csv", "s3_key"),
    UPLOAD_PREFIX: ("upload", "upload_id"),
    "metabase:": ("metabase", "question_id"),
}

Source = Annotated[
    str,
    typer.Argument(
        metavar="FILE|-|s3://BUCKET/KEY|key:KEY|local:PATH|upload:ID|metabase:N",
        help="A file or pipe (uploaded; -: standard input), an object in S3, a key of the line's bucket, a path in the "
        "line's local folder, an upload, a question of Metabase.",
    ),
]


@dataclasses.dataclass(frozen=True)
class Content:
    """What is sent from here.

    Attributes:
        name: What the line calls it.
        shown: What messages call it.
        size_bytes: None: nobody knows before its end.
        source: As the client takes it.
    """

    name: str
    shown: str
    size_bytes: int | None
    source: pathlib.Path | BinaryIO


def stored(source: str, options: dict[str, Any]) -> dict[str, Any] | None:
    """The options for what is stored already; None: it is to be sent from here.

    Raises:
        typer.BadParameter: It is a question of Metabase without a number.
    """
    for prefix, (data_source, field) in _STORED.items():
        if source.startswith(prefix):
            name: str | int = source if prefix == "s3://" else source.removeprefix(prefix)
            if data_source == "metabase":
                name = _question(str(name))
            return {**options, "data_source": data_source, field: name}
    return None


def content(source: str) -> Content:
    """What is sent from here.

    Raises:
        typer.BadParameter: It is no file, no pipe and not standard input.
    """
    if source == STANDARD_INPUT:
        if sys.stdin.isatty():
            raise typer.BadParameter("Standard input is the terminal; send a file into it: … | vectorline process -")
        return Content(PIPE_NAME, "standard input", None, sys.stdin.buffer)
    path = pathlib.Path(source).expanduser()
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise typer.BadParameter(
            f"There is no file {source}. An object in S3 is s3://bucket/key, one of the line's bucket key:{source}.",
            param_hint="FILE",
        ) from error
    if stat.S_ISREG(found.st_mode):
        return Content(path.name, str(path), found.st_size, path)
    if stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode):
        # A named pipe, or what a shell puts in place of <(…).
        name = PIPE_NAME if path.is_relative_to("/dev") or path.is_relative_to("/proc") else path.name
        return Content(name, str(path), None, path)
    what = "a folder" if stat.S_ISDIR(found.st_mode) else "no file"
    raise typer.BadParameter(f"{source} is {what}; name one file.", param_hint="FILE")


@contextlib.contextmanager
def sending(here: session.Session, sent: Content) -> Iterator[progress.UploadDisplay]:
    """Show how it is sent; a file that cannot be read to its end is told in words, and so is Ctrl-C."""
    try:
        with progress.upload_display(here.screen, sent.name, sent.size_bytes) as display:
            yield display
    except BrokenPipeError:  # of the one who reads what is shown
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise failures.CommandError(
            f"{sent.shown} cannot be read: {reason}. No task was made.", exit_code=failures.ExitCode.USAGE
        ) from error
    except KeyboardInterrupt:
        here.screen.say("Upload stopped before its end; the line drops what it got.", "yellow")
        raise


def _question(number: str) -> int:
    try:
        return int(number)
    except ValueError:
        raise typer.BadParameter(f"metabase:{number} has no number of a question.", param_hint="FILE") from None
