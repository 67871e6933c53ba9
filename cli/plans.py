"""A plan as cards and tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich import console, table, text

from cli import tables
from cli.planning import availability, lines, plan

# Below it a cost is left out of the table; --json has it.
LEAST_DOLLARS: Final = 0.005


def shown(made: plan.Plan) -> Iterator[console.RenderableType]:
    """What is needed, what each line costs, and what can be promised."""
    yield _needed(made)
    yield text.Text()
    yield _bills(made)
    yield text.Text()
    yield _promises(made)


def _needed(made: plan.Plan) -> table.Table:
    wanted, quota = made.demand, made.quota
    grid = tables.card()
    grid.add_row("Rows", f"{wanted.rows_per_day:,} a day, {made.rows_per_second:,.1f} a second over {wanted.hours:g} h")
    enough = "" if quota.suffices else "; not enough"
    grid.add_row(
        "OpenAI",
        text.Text(
            f"tier {quota.tier}: {quota.tokens_per_minute:,.0f} of {quota.tier_tokens_per_minute:,} tokens a minute, "
            f"{quota.requests_per_second:,.3g} full requests a second{enough}",
            "" if quota.suffices else "red",
        ),
    )
    units = made.pinecone
    grid.add_row(
        "Pinecone",
        f"{units.write_units_per_day:,.0f} write and {units.read_units_per_day:,.0f} read units a day, records of "
        f"{units.record_bytes:,} bytes, {units.stored_gb:,.1f} GB after a month",
    )
    for name, line in _lines(made):
        tasks = "".join(f", {count} {service}" for service, count in line.replicas.items())
        grid.add_row(name, f"{line.hosts} {line.instance}{tasks}")
        part = line.bottleneck
        narrow = f"{part.name} gives way first, at {part.rows_per_second:,.0f} rows/s ({part.because})"
        grid.add_row("", text.Text(narrow, "" if line.carries else "red"))
        for remedy in line.remedies:
            grid.add_row("", text.Text(remedy, "yellow"))
    return grid


def _bills(made: plan.Plan) -> table.Table:
    listing = tables.listing()
    listing.add_column("dollars a month", no_wrap=True)
    for name, _ in _lines(made):
        listing.add_column(name, no_wrap=True, justify="right")
    listing.add_column("of", overflow="fold")
    for small, production in zip(made.small.bill, made.production.bill, strict=True):
        if max(small.dollars, production.dollars) >= LEAST_DOLLARS:
            listing.add_row(
                small.name, *(_dollars(each.dollars) for each in (small, production)), _of(small, production)
            )
    listing.add_row(text.Text("in all", "bold"), *(_dollars(line.dollars) for _, line in _lines(made)), "")
    days = sorted({price.seen for price in made.prices.values()})
    listing.add_row("", "", "", text.Text(f"Prices of {', '.join(days)}; --json has each with its source.", "dim"))
    return listing


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}"


def _of(small: lines.Cost, production: lines.Cost) -> str:
    return small.because if small.because == production.because else f"{small.because} | {production.because}"


def _promises(made: plan.Plan) -> table.Table:
    listing = tables.listing()
    listing.add_column("can be promised", no_wrap=True)
    for name, _ in _lines(made):
        listing.add_column(name, no_wrap=True, justify="right")
    listing.add_column("it needs", overflow="fold")
    for name, path in made.production.availability.items():
        cells = (_percent(line.availability[name]) for _, line in _lines(made))
        listing.add_row(name, *cells, _since(path))
    return listing


def _percent(path: availability.Path) -> text.Text:
    if path.percent is None:
        return text.Text("nothing", "yellow")
    return text.Text(f"{path.percent:.2f} %", "green" if path.holds else "yellow")


def _since(path: availability.Path) -> str:
    if path.without:
        return f"{' and '.join(path.without)}, who promise nothing for it"
    return ", ".join(path.needs)


def _lines(made: plan.Plan) -> tuple[tuple[str, plan.Line], ...]:
    return (("small", made.small), ("production", made.production))
