"""``vectorline workers``: the embedders that are alive."""

from __future__ import annotations

import typer

from cli import facts, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("workers", epilog=session.examples("workers"))(workers)


def workers(context: typer.Context) -> None:
    """Show the embedders that are alive, with the chunks that they work on."""
    here = session.of(context)
    with here.line() as line:
        answer = line.workers()
    here.screen.emit(answer)
    here.screen.show(facts.listing(answer.workers, ("name", "active", "available"), most=1000))
    here.screen.say(f"{answer.active:,} chunks in work, {answer.available:,} slots free.")
