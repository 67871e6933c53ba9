"""``vectorline plan``: what so many rows a day need and cost, before there is a line."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer

from cli import failures, fields, plans, session
from cli.planning import demand, plan


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        "plan --rows-per-day 2000000 --tokens 64 --values 1536",
        "plan --rows-per-day 10000000 --hours 6 --unchanged 90 --namespaces 4",
        "plan --rows-per-day 2000000 --searches-per-day 50000 --json --fields quota,small.dollars",
    )
    app.command("plan", epilog=epilog)(make)


def make(
    context: typer.Context,
    *,
    rows_per_day: Annotated[int, typer.Option(metavar="N", help="Rows that are loaded a day.")],
    tokens: Annotated[float, typer.Option(metavar="N", help="Tokens of a row's text, on average.")] = 64,
    values: Annotated[int, typer.Option(metavar="N", help="Values of a vector.")] = 1_536,
    metadata_bytes: Annotated[int, typer.Option(metavar="N", help="Of a row, the text's copy among it.")] = 1_000,
    hours: Annotated[float, typer.Option(metavar="N", help="Hours of the day in which they must get through.")] = 24,
    unchanged: Annotated[float, typer.Option(metavar="PERCENT", help="Rows that are skipped as unchanged.")] = 0,
    replaced: Annotated[
        float, typer.Option(metavar="PERCENT", help="Of the rows that are written, those that replace a record.")
    ] = 0,
    stored_rows: Annotated[
        int | None, typer.Option(metavar="N", help="Records in the index; else those that a month adds.")
    ] = None,
    searches_per_day: Annotated[int, typer.Option(metavar="N", help="Searches a day.")] = 0,
    namespaces: Annotated[int, typer.Option(metavar="N", help="Among which the rows are spread evenly.")] = 1,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Of OpenAI's embedding models.")
    ] = "text-embedding-3-small",
    tier: Annotated[
        int | None, typer.Option(metavar="N", help="Your usage tier at OpenAI; else the lowest that suffices.")
    ] = None,
) -> None:
    """Say what so many rows a day need: instances, quota, units, dollars a month; what gives way first; what holds.

    Needs no line, no account and no network. Exits 1 if not even the line `production` carries it.
    """
    here = session.of(context)
    try:
        wanted = demand.Demand(
            rows_per_day=rows_per_day,
            tokens=tokens,
            values=values,
            metadata_bytes=metadata_bytes,
            hours=hours,
            unchanged_percent=unchanged,
            replaced_percent=replaced,
            stored_rows=stored_rows,
            searches_per_day=searches_per_day,
            namespaces=namespaces,
            model=model,
            tier=tier,
        )
    except demand.Nonsense as error:
        raise failures.CommandError(str(error), exit_code=failures.ExitCode.USAGE) from error
    made = plan.plan(wanted)
    if here.screen.json:
        typer.echo(json.dumps(_document(made, here.screen.fields), ensure_ascii=False))
    else:
        here.screen.show(*plans.shown(made))
    if not made.production.carries:
        raise typer.Exit(failures.ExitCode.FAILED)


def _document(made: plan.Plan, only: tuple[str, ...]) -> dict[str, Any]:
    whole = dataclasses.asdict(made)
    return fields.of(whole, type(made), only) if only else whole
