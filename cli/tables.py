"""The two shapes that answers are laid out in for people: a line for each fact, and columns under their names."""

from __future__ import annotations

from rich import table


def card() -> table.Table:
    """Facts, a line each: what it is called, and what it is."""
    grid = table.Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def listing() -> table.Table:
    """Things, a line each, under the names of their columns, which are still to be added."""
    return table.Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
