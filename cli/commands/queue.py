"""``vectorline queue``: what waits between ingest and the embedders."""

from __future__ import annotations

import typer

from cli import facts, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("queue", epilog=session.examples("queue", "queue --json --fields waiting,oldest_seconds"))(queue)


def queue(context: typer.Context) -> None:
    """Show the queue of chunks, lane by lane: how many wait, how many are in work, how old the oldest is."""
    here = session.of(context)
    with here.line() as line:
        answer = line.queue()
    here.screen.emit(answer)
    here.screen.show(facts.listing(answer.queues, ("name", "waiting", "pending", "bytes", "oldest_seconds")))
    here.screen.say(
        f"{answer.waiting:,} chunks wait, {answer.pending:,} are in work; "
        f"{answer.bytes / 1e6:,.1f} of {answer.most_bytes / 1e6:,.0f} MB."
    )
