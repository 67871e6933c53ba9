"""``vectorline estimate``: what loading a file would come to, before anything is bought."""

from __future__ import annotations

import pathlib

import typer
from vectorline.v1 import ingest_pb2

from cli import estimates, failures, loading, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("estimate", epilog=session.EPILOG)(estimate)


def estimate(
    context: typer.Context,
    source: loading.Source,
    *,
    question_id: loading.QuestionId = None,
    namespace: loading.Namespace = "",
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
) -> None:
    """Say what a load would come to: rows, rejects, exact tokens, price, time. Buys nothing.

    A local file is stored, and can then be processed by its id without being sent again.
    """
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
    here = session.of(context)
    answer = loading.submit(
        here,
        source,
        options,
        file=lambda path: _of_file(here, path, options),
        stored=lambda: _of_stored(here, options),
    )
    here.screen.emit(answer)
    here.screen.show(estimates.card(answer))
    if answer.HasField("upload_id"):
        here.screen.say(f"  vectorline process {loading.UPLOAD_PREFIX}{answer.upload_id} ...", "cyan")
    if answer.namespace_check.problem:
        raise typer.Exit(failures.ExitCode.FAILED)


def _of_file(
    here: session.Session, path: pathlib.Path, options: ingest_pb2.ProcessRequest
) -> ingest_pb2.EstimateResponse:
    return loading.send(here, path, options, estimate=True).estimate


def _of_stored(here: session.Session, options: ingest_pb2.ProcessRequest) -> ingest_pb2.EstimateResponse:
    with here.line() as line:
        return line.estimate(options)
