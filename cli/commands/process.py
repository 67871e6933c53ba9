"""``vectorline process``: load a local file, or one that is stored already."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

import typer
from vectorline.v1 import ingest_pb2

from cli import loading, options, session
from cli.commands import watch


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("process", epilog=session.EPILOG)(process)


@options.taken_by
def process(
    context: typer.Context,
    source: loading.Source,
    *,
    load: options.Load,
    watch_it: Annotated[bool, typer.Option("--watch/--no-watch", help="Follow the task until it is over.")] = False,
    priority: Annotated[
        Literal["low", "normal", "high"] | None, typer.Option(help="Who goes first. Default: normal.")
    ] = None,
    request_id: Annotated[
        str, typer.Option(help="Idempotency key: the same key answers the same task. Default: a new one.")
    ] = "",
) -> None:
    """Load a CSV: every row becomes a vector, or a reject with its reason."""
    request = load.request()
    request.priority = priority or ""
    # With a key of its own a request may be repeated after a broken connection and still makes one task (AIP-155).
    request.request_id = request_id or str(uuid.uuid4())
    here = session.of(context)
    answer = loading.submit(
        source,
        request,
        file=lambda content: loading.send(here, content, request),
        stored=lambda: _process(here, request),
    )
    here.screen.emit(answer)
    here.screen.say(f"Task {answer.task_id} is {answer.status}.")
    if watch_it:
        raise typer.Exit(watch.until_over(here, answer.task_id))
    here.screen.say(f"  vectorline watch {answer.task_id}", "cyan")


def _process(here: session.Session, request: ingest_pb2.ProcessRequest) -> ingest_pb2.ProcessResponse:
    with here.line() as line:
        return line.process(request)
