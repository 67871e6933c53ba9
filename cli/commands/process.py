"""``vectorline process``: load a local file, or one that is stored already."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

import typer
from vectorline.v1 import ingest_pb2

from cli import loading, session
from cli.commands import watch


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("process", epilog=session.EPILOG)(process)


def process(
    context: typer.Context,
    source: loading.Source,
    *,
    question_id: loading.QuestionId = None,
    namespace: loading.Namespace = "",
    watch_it: Annotated[bool, typer.Option("--watch/--no-watch", help="Follow the task until it is over.")] = False,
    id_column: loading.IdColumn = "",
    text_column: loading.TextColumn = "",
    text_template: loading.TextTemplate = "",
    metadata_columns: loading.MetadataColumns = "",
    exclude_columns: loading.ExcludeColumns = "",
    metadata: loading.Metadata = None,
    sanitizer: loading.Sanitizer = None,
    start_date: loading.StartDate = "",
    end_date: loading.EndDate = "",
    date_column: loading.DateColumn = "",
    on_duplicate: loading.OnDuplicate = None,
    on_long_text: loading.OnLongText = None,
    delimiter: loading.Delimiter = "",
    encoding: loading.Encoding = "",
    chunk_size: loading.ChunkSize = None,
    priority: Annotated[
        Literal["low", "normal", "high"] | None, typer.Option(help="Who goes first. Default: normal.")
    ] = None,
    request_id: Annotated[
        str, typer.Option(help="Idempotency key: the same key answers the same task. Default: a new one.")
    ] = "",
) -> None:
    """Load a CSV: every row becomes a vector, or a reject with its reason."""
    options = loading.Load(
        question_id=question_id,
        namespace=namespace,
        id_column=id_column,
        text_column=text_column,
        text_template=text_template,
        metadata_columns=metadata_columns,
        exclude_columns=exclude_columns,
        metadata=metadata,
        sanitizer=sanitizer,
        start_date=start_date,
        end_date=end_date,
        date_column=date_column,
        on_duplicate=on_duplicate,
        on_long_text=on_long_text,
        delimiter=delimiter,
        encoding=encoding,
        chunk_size=chunk_size,
    ).request()
    options.priority = priority or ""
    # With a key of its own a request may be repeated after a broken connection and still makes one task (AIP-155).
    options.request_id = request_id or str(uuid.uuid4())
    here = session.of(context)
    answer = loading.submit(
        here,
        source,
        options,
        file=lambda path: loading.send(here, path, options),
        stored=lambda: _process(here, options),
    )
    here.screen.emit(answer)
    here.screen.say(f"Task {answer.task_id} is {answer.status}.")
    if watch_it:
        raise typer.Exit(watch.until_over(here, answer.task_id))
    here.screen.say(f"  vectorline watch {answer.task_id}", "cyan")


def _process(here: session.Session, options: ingest_pb2.ProcessRequest) -> ingest_pb2.ProcessResponse:
    with here.line() as line:
        return line.process(options)
