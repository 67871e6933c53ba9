"""The header line against the request: names, and what every option asks of them."""

import collections
import dataclasses
from collections.abc import Collection, Mapping, Sequence

from services.ingest import failures
from services.ingest.reading import names as spelling
from services.ingest.request import options, template, types

# Of all names together. A row that fills so many columns is over Pinecone's 40 KB of metadata ten times over.
HEADER_LIMIT_BYTES = 256 << 10
_SHOWN_NAMES = 50


def names(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the columns' names, each once: blanks around them gone.

    An empty cell is column_<n> (1-based); a name that stood before is <name>_2, <name>_3 and so on.

    Raises:
        failures.FileFailure: NO_HEADER or HEADER_TOO_LARGE.
    """
    stripped = [cell.strip() for cell in cells]
    if not any(stripped):
        raise failures.FileFailure("NO_HEADER", "The first line names no column; put the columns' names there.")
    size = sum(len(name.encode(errors="replace")) for name in stripped)
    if size > HEADER_LIMIT_BYTES:
        raise failures.FileFailure(
            "HEADER_TOO_LARGE",
            f"The names of the {len(stripped):,} columns have {size:,} bytes, {HEADER_LIMIT_BYTES:,} are the limit; "
            "give the columns shorter names, or leave some out.",
        )
    real, taken, last = set(stripped), set[str](), collections.Counter[str]()
    made = []
    for number, name in enumerate(stripped, start=1):
        unique = name or f"column_{number}"
        while unique in taken or (unique != name and unique in real):
            last[name] += 1
            unique = f"{name}_{last[name] + 1}" if name else unique + "_"
        taken.add(unique)
        made.append(unique)
    return tuple(made)


def repeated(cells: Sequence[str]) -> Mapping[str, int]:
    """Return the names that stand more than once, and how often."""
    counts = collections.Counter(filter(None, map(str.strip, cells)))
    return {name: count for name, count in counts.items() if count > 1}


def wanted(chosen: options.Options) -> tuple[str, ...]:
    """Return the names of the columns that the request cannot do without, in the order they are looked for."""
    needed = [chosen.id_column]
    if chosen.text_template:
        needed += template.parse(chosen.text_template).columns
    else:
        needed.append(chosen.text_column)
    if chosen.dated:
        needed.append(chosen.date_column)
    declared = types.parse(chosen.column_types)
    return tuple(dict.fromkeys((*needed, *chosen.metadata_columns, *chosen.exclude_columns, *declared)))


def check(cells: Sequence[str], chosen: options.Options) -> options.Options:
    """Refuse a file without the wanted columns; returns the request with each column spelled as the file does.

    Raises:
        failures.FileFailure: MISSING_COLUMN (names those missing and those there are), DUPLICATE_HEADER, NO_HEADER or
            HEADER_TOO_LARGE.
    """
    columns = names(cells)
    spelled = _spelled(columns, wanted(chosen))
    missing = [name for name, found in spelled.items() if not found]
    if missing:
        raise failures.FileFailure("MISSING_COLUMN", without(columns, missing, ""))
    more = repeated(cells)
    twice = [name for name, found in spelled.items() if len(found) > 1 or found[0] in more]
    if twice:
        raise failures.FileFailure(
            "DUPLICATE_HEADER",
            f"The header names {_listed(twice)} more than once, and the request wants it; rename so that each such "
            "name is once.",
        )
    return resolved(columns, chosen)


def resolved(columns: Sequence[str], chosen: options.Options) -> options.Options:
    """Return the request with each column spelled as the file does: names are the same in NFC with blanks folded."""
    found = {name: (same or [name])[0] for name, same in _spelled(columns, wanted(chosen)).items()}
    if all(name == same for name, same in found.items()):
        return chosen
    return dataclasses.replace(
        chosen,
        id_column=found[chosen.id_column],
        text_column=found.get(chosen.text_column, chosen.text_column),
        date_column=found.get(chosen.date_column, chosen.date_column),
        text_template=_template(chosen.text_template, found),
        metadata_columns=tuple(found[name] for name in chosen.metadata_columns),
        exclude_columns=tuple(found[name] for name in chosen.exclude_columns),
        column_types=tuple(f"{found[name]}:{kind}" for name, kind in types.parse(chosen.column_types).items()),
    )


def without(columns: Sequence[str], missing: Sequence[str], hint: str) -> str:
    """Say which columns a file lacks, and which it has."""
    remedy = hint or "Set id_column, text_column, text_template and the like to names of the file."
    return f"The file has no column {_listed(missing)}; it has {_listed(columns)}. {remedy}"


def _spelled(columns: Sequence[str], needed: Collection[str]) -> dict[str, list[str]]:
    """Return the columns that each needed name may mean: the one that is spelled so, or all that are the same."""
    exact = set(columns)
    if exact.issuperset(needed):
        return {name: [name] for name in needed}
    folded: dict[str, list[str]] = {}
    for column in columns:
        folded.setdefault(spelling.folded(column), []).append(column)
    return {name: [name] if name in exact else folded.get(spelling.folded(name), []) for name in needed}


def _template(source: str, found: Mapping[str, str]) -> str:
    if not source:
        return source
    parsed = template.parse(source)
    literals = [literal.replace("{", "{{").replace("}", "}}") for literal in parsed.literals]
    names_of = [f"{{{found[column]}}}" for column in parsed.columns]
    return literals[0] + "".join(name + literal for name, literal in zip(names_of, literals[1:], strict=True))


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:100]) for name in columns[:_SHOWN_NAMES])
    more = len(columns) - _SHOWN_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown
