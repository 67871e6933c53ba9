"""``vectorline estimate``: what loading a file would come to, before anything is bought."""

from __future__ import annotations

import typer
from vectorline.v1 import ingest_pb2

from cli import estimates, failures, loading, options, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("estimate", epilog=session.EPILOG)(estimate)


@options.taken_by
def estimate(context: typer.Context, source: loading.Source, *, load: options.Load) -> None:
    """Say what a load would come to: rows, rejects, exact tokens, price, time. Buys nothing.

    A local file is stored, and can then be processed by its id without being sent again.
    """
    request = load.request()
    here = session.of(context)
    answer = loading.submit(
        source,
        request,
        file=lambda content: loading.send(here, content, request, estimate=True).estimate,
        stored=lambda: _of_stored(here, request),
    )
    here.screen.emit(answer)
    here.screen.show(estimates.card(answer))
    if answer.HasField("upload_id"):
        here.screen.say(f"  vectorline process {loading.UPLOAD_PREFIX}{answer.upload_id} ...", "cyan")
    if answer.namespace_check.problem:
        raise typer.Exit(failures.ExitCode.FAILED)


def _of_stored(here: session.Session, request: ingest_pb2.ProcessRequest) -> ingest_pb2.EstimateResponse:
    with here.line() as line:
        return line.estimate(request)
