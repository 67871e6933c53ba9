"""The header line against the request: names, and what every option asks of them."""

import collections
from collections.abc import Sequence

from services.ingest import failures
from services.ingest.request import options, template, types

_SHOWN_NAMES = 50


def names(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the columns' names: blanks around them gone, an empty cell named column_<n> (1-based).

    Raises:
        failures.FileFailure: NO_HEADER or DUPLICATE_HEADER.
    """
    stripped = [cell.strip() for cell in cells]
    if not any(stripped):
        raise failures.FileFailure("NO_HEADER", "The first line names no column; put the columns' names there.")
    repeated = [name for name, count in collections.Counter(filter(None, stripped)).items() if count > 1]
    if repeated:
        raise failures.FileFailure(
            "DUPLICATE_HEADER",
            f"The header names {_listed(repeated)} more than once; rename so that each name is once.",
        )
    taken = set(stripped)
    made = []
    for number, name in enumerate(stripped, start=1):
        unique = name or f"column_{number}"
        while not name and unique in taken:
            unique += "_"
        taken.add(unique)
        made.append(unique)
    return tuple(made)


def wanted(chosen: options.Options) -> tuple[str, ...]:
    """Return the names of the columns that the request cannot do without, in the order they are looked for."""
    needed = [chosen.id_column]
    if chosen.text_template:
        needed += template.parse(chosen.text_template).columns
    else:
        needed.append(chosen.text_column)
    if chosen.dated:
        needed.append(chosen.date_column)
    return tuple(
        dict.fromkeys((*needed, *chosen.metadata_columns, *chosen.exclude_columns, *types.parse(chosen.column_types)))
    )


def check(columns: Sequence[str], chosen: options.Options) -> None:
    """Refuse a file without the wanted columns.

    Raises:
        failures.FileFailure: MISSING_COLUMN; names those missing and those there are.
    """
    missing = [name for name in wanted(chosen) if name not in columns]
    if missing:
        raise failures.FileFailure(
            "MISSING_COLUMN",
            f"The file has no column {_listed(missing)}; it has {_listed(columns)}. Set id_column, text_column, "
            "text_template and the like to names of the file.",
        )


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:100]) for name in columns[:_SHOWN_NAMES])
    more = len(columns) - _SHOWN_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown
