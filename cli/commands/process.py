"""``vectorline process``: load a local file, or one that is stored already."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli import loading, options, session
from cli.commands import watch


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        "process items.csv --question-id 232 --watch",
        "process s3://bucket/exports/march.csv --question-id 233 --namespace v2",
        "process - --question-id 234 < items.csv",
        "process metabase:232 --start-date 2025-01-01",
    )
    app.command("process", epilog=epilog)(process)


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
    here = session.of(context)
    given = load.options() | ({"priority": priority} if priority else {})
    with here.line() as line:
        if (stored := loading.stored(source, given)) is not None:
            task = line.load(idempotency_key=request_id or None, **stored)
        else:
            sent = loading.content(source)
            with loading.sending(here, sent) as display:
                task = line.load(
                    sent.source,
                    filename=sent.name,
                    idempotency_key=request_id or None,
                    on_sent=display.sent,
                    **given,
                )
    watch.begun(here, task, follow=watch_it)
