"""An estimate as a card for people."""

from __future__ import annotations

from typing import Final

from rich import console, text

from cli import bills, pace, render, screen, tables
from vectorline_client import messages

_SAMPLES: Final = 3
_COLUMNS: Final = 12


def card(found: messages.EstimateResponse) -> console.RenderableType:
    """Everything about an estimate, one line a fact."""
    grid = tables.card()
    same = f" ({found.unchanged:,} unchanged)" if found.unchanged else ""
    grid.add_row("Rows", f"{found.rows:,} read: {found.usable:,} usable, {found.skipped:,} skipped{same}", style="bold")
    grid.add_row("Rejects", text.Text(f"{found.rejected:,}", "red" if found.rejected else "green"))
    for group in found.rejects:
        grid.add_row("", f"{group.rows:,} {screen.printable(group.reason)}")
        for sample in group.samples[:_SAMPLES]:
            grid.add_row("", text.Text(f"  row {sample.row_number:,}: {screen.printable(sample.message)}", "dim"))
    if found.removed is not None:
        grid.add_row("Removes", text.Text(f"{found.removed:,} vectors", "yellow" if found.removed else ""))
    grid.add_row("Tokens", _tokens(found))
    profile = found.tokens_per_text
    grid.add_row(
        "A text",
        f"{profile.min:,} to {profile.max:,} tokens, median {profile.median:,}, 95 % up to {profile.p95:,}, "
        f"{profile.mean:.1f} on average",
    )
    grid.add_row("Price", text.Text(_price(found), "bold"))
    if found.bill is not None:
        grid.add_row("Bill", text.Text(bills.words(found.bill), "bold"))
    grid.add_row("Time", _time(found))
    grid.add_row("Namespace", _namespace(found.namespace_check))
    grid.add_row("File", _file(found))
    grid.add_row("Columns", _columns(found))
    render.add_warnings(grid, "Warning", found.warnings)
    return grid


def _tokens(found: messages.EstimateResponse) -> str:
    saved = found.tokens - found.billed_tokens
    once = f", {saved:,.0f} of them in texts that come again and are bought once" if saved else ""
    return f"{found.tokens:,.0f}{once}"


def _price(found: messages.EstimateResponse) -> str:
    model = screen.printable(found.model)
    if found.price_usd is None:
        return f"not known of {model}; OPENAI_PRICES has none"
    return f"{bills.dollars(found.price_usd)} with {model}"


def _time(found: messages.EstimateResponse) -> str:
    many = f"{found.requests:,} requests"
    if found.duration_seconds is None:
        return f"{many}; the line has no limit that would make it wait"
    seconds = found.duration_seconds
    took = f"{seconds:.1f} s" if seconds < 60 else pace.clock_time(seconds)
    return f"{took} for {many} at the line's limits, with nothing else running"


def _namespace(check: messages.NamespaceCheck) -> text.Text:
    name = screen.printable(check.namespace)
    if check.problem:
        return text.Text(f"{name}: {screen.printable(check.problem)}", "red")
    holds = f"holds {screen.printable(check.holds_model)}" if check.holds_model else "new"
    return text.Text(f"{name}: {holds}, {check.dimension:,} values a vector")


def _file(found: messages.EstimateResponse) -> str:
    delimiter = "tab" if found.delimiter == "\t" else found.delimiter
    encoding = f"{found.encoding} (guessed; --encoding declares it)" if found.encoding_guessed else found.encoding
    facts = [f"{found.size_bytes:,.0f} bytes", encoding, f"delimiter {delimiter}", f"{found.newline} line ends"]
    facts += [f"quoting {found.quoting}"] if found.quoting not in ("", "csv") else []
    return screen.printable(", ".join([*facts, *(["gzip"] if found.gzip else []), f"{found.chunks:,} chunks"]))


def _columns(found: messages.EstimateResponse) -> str:
    shown = ", ".join(f"{column.name} ({column.type})" for column in found.columns[:_COLUMNS])
    more = len(found.columns) - _COLUMNS
    return screen.printable(shown) + (f" and {more:,} more" if more > 0 else "")
