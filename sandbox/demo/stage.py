"""What the audience sees: colour and a moving bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich import console, padding, progress, rule, table, text

from sandbox.demo import gateway, sample

LINE_SECONDS: Final = 5.0  # between two plain lines about a task
BAR_COLUMNS: Final = 30

Show = Callable[[gateway.Document], None]


def open_console() -> console.Console:
    """A console on stdout; without colour and movement in a pipe or under NO_COLOR."""
    lively = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return console.Console(
        force_terminal=lively,
        color_system="auto" if lively else None,
        width=None if sys.stdout.isatty() else 110,
        markup=False,
        emoji=False,
        highlight=False,
    )


def step(out: console.Console, number: int, title: str) -> None:
    """A heading."""
    out.print()
    out.print(rule.Rule(text.Text(f"{number}  {title}", "bold"), align="left", style="dim", characters="─"))


def counted(out: console.Console, body: Iterator[bytes]) -> Iterator[bytes]:
    """`body`, as it is; says at the end how much it was."""
    size = 0
    for piece in body:
        size += len(piece)
        yield piece
    out.print(f"{size / 1e6:.1f} MB streamed.")


@contextlib.contextmanager
def task_bar(out: console.Console, rows: int) -> Iterator[Show]:
    """A bar that follows a task of `rows` rows."""
    if not out.is_terminal:
        yield _plain(out, rows)
        return
    bar = progress.Progress(
        progress.SpinnerColumn(style="cyan", finished_text="[green]✓"),
        progress.TextColumn("{task.description:<19}"),
        progress.BarColumn(BAR_COLUMNS),
        progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows"),
        progress.TextColumn("[cyan]{task.fields[rate]}[/]"),
        console=out,
    )
    line = bar.add_task("accepted", total=rows, rate="")
    started = time.monotonic()

    def show(task: gateway.Document) -> None:
        done = _done(task)
        rate = f"{done / max(time.monotonic() - started, 0.1):,.0f} rows/s" if done else ""
        bar.update(line, description=task["status"].replace("_", " "), completed=done, rate=rate)

    with bar:
        yield show


def outcome(out: console.Console, task: gateway.Document, want: sample.Expected) -> None:
    """The counts as an equation that must hold, each beside what was expected."""
    counts = task["progress"]
    grid = _table("", "rows", "expected", right=(1, 2))
    for name, field, expected in (
        ("rows read", "total_records", want.rows_read),
        ("= indexed", "processed_records", want.indexed),
        ("+ skipped", "skipped_records", want.skipped),
        ("+ failed", "failed_records", want.failed),
    ):
        good = counts[field] == expected
        grid.add_row(name, text.Text(f"{counts[field]:,}", "green" if good else "bold red"), f"{expected:,}")
    _indented(out, grid)


def rejects(out: console.Console, rows: Sequence[dict[str, str]]) -> None:
    """The rows that did not become vectors, and why."""
    grid = _table("row", "id", "reason", "what happened", right=(0,))
    for row in rows:
        grid.add_row(
            row.get("row_number", ""),
            row.get("id") or "(none)",
            text.Text(row.get("reason", ""), "yellow"),
            row.get("message", ""),
        )
    _indented(out, grid)


def matches(out: console.Console, question: gateway.Document, found: Sequence[gateway.Document]) -> None:
    """A question and the rows that answer it."""
    asked = text.Text(f"“{question['text']}”", "bold cyan")
    if "filter" in question:
        asked.append(f"  filter {json.dumps(question['filter'])}", "dim")
    out.print(asked)
    grid = table.Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(style="magenta")
    grid.add_column(justify="right")
    for match in found:
        row = match.get("metadata", {})
        price = row.get("price")
        grid.add_row(
            f"{match['score']:.3f}",
            str(row.get("title", match["id"])),
            str(row.get("category", "")),
            f"{price:,.2f} €" if isinstance(price, int | float) else str(price or ""),
        )
    _indented(out, grid)


def whereto(out: console.Console, pairs: Sequence[tuple[str, str]]) -> None:
    """Where to look next."""
    grid = table.Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, place in pairs:
        grid.add_row(name, place)
    _indented(out, grid)


def _plain(out: console.Console, rows: int) -> Show:
    said: list[tuple[float, str]] = [(0.0, "")]

    def show(task: gateway.Document) -> None:
        now, (last, status) = time.monotonic(), said[-1]
        if task["status"] != status or now - last >= LINE_SECONDS:
            said[-1] = (now, task["status"])
            out.print(f"{task['status']}: {_done(task):,} of {rows:,} rows")

    return show


def _done(task: gateway.Document) -> int:
    counts = task["progress"]
    return int(counts["processed_records"] + counts["skipped_records"] + counts["failed_records"])


def _table(*names: str, right: tuple[int, ...]) -> table.Table:
    made = table.Table(box=None, header_style="dim", padding=(0, 3, 0, 0))
    for position, name in enumerate(names):
        made.add_column(name, justify="right" if position in right else "left", overflow="fold")
    return made


def _indented(out: console.Console, what: console.RenderableType) -> None:
    out.print(padding.Padding(what, (0, 0, 0, 2), expand=False))
