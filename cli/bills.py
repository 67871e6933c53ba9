"""Bills in words and as a table for people."""

from __future__ import annotations

from typing import TypeAlias

from rich import table, text

from cli import screen, tables
from vectorline_client import messages

Priced: TypeAlias = "messages.Bill | messages.BillBound"


def dollars(amount: float | None) -> str:
    """An amount, in as many digits as it is worth; None: no price of it is known."""
    if amount is None:
        return "?"
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:.6f}"


def total(bill: Priced) -> float | None:
    """OpenAI's and Pinecone's dollars together; None where one of them is not known."""
    if bill.openai_dollars is None or bill.pinecone_dollars is None:
        return None
    return bill.openai_dollars + bill.pinecone_dollars


def words(bill: messages.Bill) -> str:
    """A bill in one line: what it comes to, and of what."""
    parts = [
        f"{dollars(bill.openai_dollars)} OpenAI ({bill.tokens:,.0f} tokens)",
        f"{dollars(bill.pinecone_dollars)} Pinecone ({bill.write_units:,.0f} write, {bill.read_units:,.6g} read units)",
    ]
    most = f", at most {dollars(total(bill.at_most))}" if bill.at_most is not None else ""
    return f"{dollars(total(bill))}{most}: {' + '.join(parts)}"


def overview(told: messages.BillOverview) -> table.Table:
    """What was spent, a line for each day, key and namespace, and the sum below."""
    listing = tables.listing()
    for name in ("day", "key", "namespace"):
        listing.add_column(name, no_wrap=True)
    for name in ("tokens", "OpenAI", "write units", "read units", "Pinecone", "at most"):
        listing.add_column(name, no_wrap=True, justify="right")
    for entry in told.entries:
        names = (entry.day, screen.printable(entry.client), screen.printable(entry.namespace))
        listing.add_row(*names, *_numbers(entry.bill))
    if told.total is not None and len(told.entries) != 1:
        listing.add_row(text.Text("in all", "bold"), "", "", *_numbers(told.total))
    return listing


def _numbers(bill: messages.Bill | None) -> tuple[str, ...]:
    if bill is None:
        return ()
    return (
        f"{bill.tokens:,.0f}",
        dollars(bill.openai_dollars),
        f"{bill.write_units:,.0f}",
        f"{bill.read_units:,.6g}",
        dollars(bill.pinecone_dollars),
        "" if bill.at_most is None else dollars(total(bill.at_most)),
    )
