"""``vectorline process``: load a local file, or one that is in S3 already."""

from __future__ import annotations

import pathlib
import uuid
from typing import Annotated, Final, Literal

import typer
from vectorline.v1 import ingest_pb2

from cli import failures, progress, session, upload
from cli.commands import watch

S3_PREFIX: Final = "s3://"
_LOOKS_LOCAL: Final = ("./", "../", "/", "~")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("process", epilog=session.EPILOG)(process)


def process(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="FILE|s3://BUCKET/KEY|KEY", help="A local file (uploaded), or an object in S3."),
    ],
    *,
    question_id: Annotated[int | None, typer.Option(help="Part of every vector id; needed for a CSV.")] = None,
    namespace: Annotated[str, typer.Option(help="Pinecone namespace. Default: v2.")] = "",
    watch_it: Annotated[bool, typer.Option("--watch/--no-watch", help="Follow the task until it is over.")] = False,
    id_column: Annotated[str, typer.Option(help="Column with the row's id. Default: id.")] = "",
    text_column: Annotated[str, typer.Option(help="Column with the text. Default: formatted_text.")] = "",
    text_template: Annotated[str, typer.Option(help="Text from columns, e.g. '{title}. {description}'.")] = "",
    metadata_columns: Annotated[str, typer.Option(metavar="A,B", help="Only these columns become metadata.")] = "",
    exclude_columns: Annotated[str, typer.Option(metavar="A,B", help="These columns never become metadata.")] = "",
    metadata: Annotated[
        Literal["typed", "legacy"] | None, typer.Option(help="Types of metadata values. Default: typed.")
    ] = None,
    sanitizer: Annotated[
        Literal["clean", "legacy", "none"] | None, typer.Option(help="How text is cleaned. Default: clean.")
    ] = None,
    start_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="First day to keep.")] = "",
    end_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Last day to keep.")] = "",
    date_column: Annotated[str, typer.Option(help="Column of the dates. Default: created_at.")] = "",
    on_duplicate: Annotated[
        Literal["first", "fail"] | None,
        typer.Option(help="Skip later rows of an id, or fail the task. Default: first."),
    ] = None,
    on_long_text: Annotated[
        Literal["reject", "truncate"] | None, typer.Option(help="Text over 8,192 tokens. Default: reject.")
    ] = None,
    delimiter: Annotated[str, typer.Option(help="One of , ; | or 'tab'. Default: detected.")] = "",
    encoding: Annotated[str, typer.Option(help="For example cp1252. Default: detected.")] = "",
    chunk_size: Annotated[int | None, typer.Option(help="Rows a chunk, 100 to 100000. Default: 1000.")] = None,
    priority: Annotated[
        Literal["low", "normal", "high"] | None, typer.Option(help="Who goes first. Default: normal.")
    ] = None,
    request_id: Annotated[
        str, typer.Option(help="Idempotency key: the same key answers the same task. Default: a new one.")
    ] = "",
) -> None:
    """Load a CSV: every row becomes a vector, or a reject with its reason."""
    if question_id is not None and not -(2**31) <= question_id < 2**31:
        raise typer.BadParameter("a 32-bit number is needed", param_hint="--question-id")
    if chunk_size is not None and not 0 <= chunk_size < 2**32:
        raise typer.BadParameter("100 to 100000", param_hint="--chunk-size")
    options = ingest_pb2.ProcessRequest(
        question_id=question_id,
        namespace=namespace,
        id_column=id_column,
        text_column=text_column,
        text_template=text_template,
        metadata_columns=_names(metadata_columns),
        exclude_columns=_names(exclude_columns),
        metadata=metadata or "",
        sanitizer=sanitizer or "",
        start_date=start_date,
        end_date=end_date,
        date_column=date_column,
        on_duplicate=on_duplicate or "",
        on_long_text=on_long_text or "",
        delimiter="\t" if delimiter in ("tab", r"\t") else delimiter,
        encoding=encoding,
        chunk_size=chunk_size,
        priority=priority or "",
        # With a key of its own a request may be repeated after a broken connection and still makes one task (AIP-155).
        request_id=request_id or str(uuid.uuid4()),
    )
    here = session.of(context)
    answer = _submit(here, source, options)
    here.screen.emit(answer)
    here.screen.say(f"Task {answer.task_id} is {answer.status}.")
    if watch_it:
        raise typer.Exit(watch.until_over(here, answer.task_id))
    here.screen.say(f"  vectorline watch {answer.task_id}", "cyan")


def _submit(here: session.Session, source: str, options: ingest_pb2.ProcessRequest) -> ingest_pb2.ProcessResponse:
    file = pathlib.Path(source).expanduser()
    if not source.startswith(S3_PREFIX):
        if file.is_file():
            return _upload(here, file, options)
        if file.is_dir():
            raise typer.BadParameter(f"{source} is a folder; name one file.", param_hint="FILE")
        if source.startswith(_LOOKS_LOCAL):
            raise typer.BadParameter(f"There is no file {source}.", param_hint="FILE")
        here.screen.say(f"There is no file {source} here: taking it as a key of the line's bucket.", "dim")
    options.data_source = "s3_csv"
    options.s3_key = source
    with here.line() as line:
        return line.process(options)


def _upload(
    here: session.Session, file: pathlib.Path, options: ingest_pb2.ProcessRequest
) -> ingest_pb2.ProcessResponse:
    # Fields 1 to 24 of both messages are the same on the wire (ingest.proto), so nothing is copied by name.
    first = ingest_pb2.UploadRequest.FromString(options.SerializeToString())
    try:
        with (
            here.line() as line,
            progress.upload_display(here.screen, file.name, file.stat().st_size) as display,
        ):
            sending = upload.Upload(file, first, on_sent=display.sent)
            try:
                return line.upload(sending.messages())
            except failures.CommandError as failure:
                if sending.read_error:
                    raise _unreadable(file, sending.read_error) from failure
                raise
    except KeyboardInterrupt:
        here.screen.say("Upload stopped before its end; the line drops what it got.", "yellow")
        raise


def _unreadable(file: pathlib.Path, error: OSError) -> failures.CommandError:
    reason = error.strerror or str(error)
    return failures.CommandError(
        f"{file} cannot be read: {reason}. No task was made.", exit_code=failures.ExitCode.USAGE
    )


def _names(comma_separated: str) -> list[str]:
    return [name.strip() for name in comma_separated.split(",") if name.strip()]
