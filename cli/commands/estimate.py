"""``vectorline estimate``: what loading a file would come to, before anything is bought."""

from __future__ import annotations

import typer

from cli import estimates, failures, loading, options, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        "estimate items.csv --question-id 232",
        "estimate key:exports/march.csv --question-id 233 --json --fields rows,rejected,price_usd",
    )
    app.command("estimate", epilog=epilog)(estimate)


@options.taken_by
def estimate(context: typer.Context, source: loading.Source, *, load: options.Load) -> None:
    """Say what a load would come to: rows, rejects, exact tokens, price, time. Buys nothing.

    A local file is stored, and can then be processed by its id without being sent again.
    """
    here = session.of(context)
    given = load.options()
    with here.line() as line:
        if (stored := loading.stored(source, given)) is not None:
            answer = line.estimate(**stored)
        else:
            sent = loading.content(source)
            with loading.sending(here, sent) as display:
                answer = line.estimate(
                    sent.source,
                    filename=sent.name,
                    on_sent=display.sent,
                    **given,
                )
    here.screen.emit(answer)
    here.screen.show(estimates.card(answer))
    if answer.upload_id is not None:
        here.screen.say(f"  vectorline process {loading.UPLOAD_PREFIX}{answer.upload_id} ...", "cyan")
    if answer.namespace_check.problem:
        raise typer.Exit(failures.ExitCode.FAILED)
