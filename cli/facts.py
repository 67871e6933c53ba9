"""Any answer as a card for people: a line for each fact, and a table for each list of things."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich import console, table, text

from cli import render, screen, tables

_LIST: Final = 20  # things of a list that are shown


def card(answer: Any) -> console.RenderableType:
    """Everything that is set in an answer; lists of things come below the rest."""
    grid = tables.card()
    below: list[console.RenderableType] = []
    _add(grid, below, answer, "")
    return console.Group(grid, *below)


def listing(things: Sequence[Any], columns: Sequence[str], most: int = _LIST) -> table.Table:
    """A table of things by some of their fields."""
    made = tables.listing()
    for name in columns:
        number = bool(things) and isinstance(getattr(things[0], name), (int, float))
        made.add_column(_words(name), no_wrap=True, justify="right" if number else "left")
    for each in things[:most]:
        made.add_row(*(_cell(name, getattr(each, name)) for name in columns))
    return made


def _add(grid: table.Table, below: list[console.RenderableType], answer: Any, prefix: str) -> None:
    for field in dataclasses.fields(answer):
        value, name = getattr(answer, field.name), f"{prefix}{_words(field.name)}"
        if value is None or value in ((), {}, ""):
            continue
        if dataclasses.is_dataclass(value):
            _add(grid, below, value, f"{name} ")
        elif isinstance(value, tuple) and dataclasses.is_dataclass(value[0]):
            columns = [each.name for each in dataclasses.fields(value[0]) if _simple(getattr(value[0], each.name))]
            below += ["", text.Text(name, "bold"), listing(value, columns)]
        elif isinstance(value, Mapping):
            for key, each in sorted(value.items(), key=lambda item: str(item[0])):
                grid.add_row(f"{name} {screen.printable(str(key))}", _cell("", each))
        else:
            grid.add_row(name, _cell(field.name, value))


def _simple(value: Any) -> bool:
    return isinstance(value, (str, int, float, datetime.datetime))


def _words(name: str) -> str:
    return name.rstrip("_").replace("_", " ")


def _cell(name: str, value: Any) -> text.Text:
    if isinstance(value, bool):
        return text.Text("yes" if value else "no", "yellow" if value and name == "blocked" else "")
    if isinstance(value, datetime.datetime):
        return text.Text(f"{value:%Y-%m-%d %H:%M:%S} UTC")
    if isinstance(value, float):
        return text.Text(f"{value:,.0f}" if value.is_integer() else f"{value:,.3g}" if value < 1 else f"{value:,.1f}")
    if isinstance(value, int):
        return text.Text(f"{value:,}")
    if isinstance(value, (tuple, list)):
        return text.Text(screen.printable("; ".join(map(str, value))))
    words = screen.printable("" if value is None else str(value))
    return text.Text(words, render.STYLES.get(words, ""))
