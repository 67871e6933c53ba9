"""Declared types: what a cell becomes where the request says what its column is (``column_types``, API.md §5).

Declared types are more liberal than those found out: a declared number may be +5, 1e3 or 007. They win over what the
cells look like, and a cell that cannot be one spoils its row, not the column.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from services.ingest.contract import column_types, date_orders, moments, number_forms
from services.ingest.request import options, types

# What a cell that is not null becomes; None: it is left out.
Value = str | float | bool | list[str] | None
Convert = Callable[[str], Value]

_SHOWN_CHARACTERS = 60
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_INFINITE = float("inf")


class BadValue(Exception):
    """A cell cannot be what its column is declared as; the message names both and the remedy."""


def of(names: Sequence[str], chosen: options.Options) -> Mapping[int, types.Declared]:
    """Return the declared types by the positions of their columns; none with ``metadata=legacy``."""
    if not chosen.column_types or chosen.metadata == "legacy":
        return {}
    found = types.parse(chosen.column_types)
    return {position: found[name] for position, name in enumerate(names) if name in found}


def converter(
    name: str, kind: types.Declared, chosen: options.Options, orders: Mapping[str, tuple[str, ...]]
) -> Convert:
    """Return what makes values of a column's cells, and raises BadValue where it cannot.

    Args:
        name: The column's.
        kind: Its type.
        chosen: The request, for the zone and the order of timestamps.
        orders: What the scan found out of the order of dates, by column.
    """
    if kind.kind == "number":
        return lambda cell: _number(name, cell)
    if kind.kind == "boolean":
        return lambda cell: _boolean(name, cell)
    if kind.kind == "list":
        return lambda cell: [bare for part in cell.split(kind.separator) if (bare := part.strip())] or None
    if kind.kind == "timestamp":
        zone = moments.zone(chosen.time_zone)
        order = orders.get(name, date_orders.asked(chosen))
        return lambda cell: _timestamp(name, cell, order, zone)
    return lambda cell: cell


def _number(name: str, cell: str) -> float:
    bare = cell.strip()
    value = float(bare) if len(bare) <= number_forms.LONGEST_CHARACTERS and _NUMBER.fullmatch(bare) else _INFINITE
    if abs(value) == _INFINITE:
        remedy = "write it with a point for decimals and without units or separators of thousands"
        raise _bad(name, cell, "number", remedy)
    if abs(value) >= number_forms.INEXACT_INTEGER and _WHOLE.fullmatch(bare) and int(bare) != int(value):
        raise _bad(name, cell, "number that a double holds exactly", "declare the column as string")
    return value


def _boolean(name: str, cell: str) -> bool:
    value = column_types.BOOLEANS.get(cell.strip().lower())
    if value is None:
        raise _bad(name, cell, "boolean", "write true or false")
    return value


def _timestamp(name: str, cell: str, orders: Sequence[str], zone: moments.Zone) -> float:
    written = moments.read(cell)
    if written is not None:
        for order in orders:
            seconds = written.seconds(order, zone)
            if seconds is not None:
                return seconds
    said = "date"
    if written is not None:
        said += date_orders.in_words(orders)
    raise _bad(name, cell, said, "write YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ; seconds since 1970 are a number")


def _bad(name: str, cell: str, kind: str, remedy: str) -> BadValue:
    shown = cell if len(cell) <= _SHOWN_CHARACTERS else f"{cell[:_SHOWN_CHARACTERS]}…"
    return BadValue(
        f"Column {name[:100]!r} has {shown!r}, which is no {kind}; {remedy}, or name it in null_values if it means no "
        "value."
    )
