"""``vectorline top``: the line at a glance, live."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich import live

import vectorline_client
from cli import session
from cli.top import keys, snapshot, view

# Of one call: what does not answer in this time is shown as no answer, and asked again.
CALL_SECONDS: Final = 5.0
# Where there is no terminal.
PRINTED_COLUMNS: Final = 120


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("top", epilog=session.examples("top", "top --every 5", "top --once"))(top)


def top(
    context: typer.Context,
    *,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.2, help="Between two looks.")] = 2.0,
    hours: Annotated[int, typer.Option("--hours", min=1, max=744, help="Rates and anomalies of so many hours.")] = 24,
    once: Annotated[bool, typer.Option("--once", help="Look once, print, end; as with --json or in a pipe.")] = False,
) -> None:
    """Watch queue, limiter, workers, tasks, rates and warnings, until q. Shows what the line's own calls say."""
    here = session.of(context)
    with here.line(seconds=CALL_SECONDS) as line:
        if once or here.screen.json or not here.screen.moving:
            _print(here, line, hours)
        else:
            _watch(here, line, every, hours)


def _print(here: session.Session, line: vectorline_client.Client, hours: int) -> None:
    taken = snapshot.take(line, hours)
    if here.screen.json:
        typer.echo(snapshot.document(taken))
        return
    width = min(here.screen.out.width, PRINTED_COLUMNS)
    here.screen.out.print(view.frame(taken, "", columns=width, lines=10_000), no_wrap=True, crop=False)


def _watch(here: session.Session, line: vectorline_client.Client, every: float, hours: int) -> None:
    taken: snapshot.Snapshot | None = None
    console = here.screen.out
    with keys.listening() as wait, live.Live(console=console, screen=True, auto_refresh=False) as shown:
        while True:
            trouble = ""
            try:
                taken = snapshot.take(line, hours)
            except vectorline_client.VectorlineError as error:
                trouble = str(error)
            size = console.size
            shown.update(view.frame(taken, trouble, columns=size.width, lines=size.height), refresh=True)
            if wait(every):
                return
