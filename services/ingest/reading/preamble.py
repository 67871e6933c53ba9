"""What stands above a table: the line by which Excel is told the delimiter, titles, comments."""

import csv
import re
from collections.abc import Collection, Sequence

from services.ingest.reading import names, quoting

# In how many lines the header is looked for.
LINES = 100
# A header with line ends in its names has this many lines at most.
_HEADER_LINES = 50
_SEP = re.compile(
    r"[\ufeff\s]*([\"']?)sep=(?P<delimiter>\\t|[\t,;|:^~#&!$%*+/<>?@.-])\1[\s,;|]*", re.IGNORECASE | re.ASCII
)


def sep(line: str) -> str:
    """Return the delimiter that a line like ``sep=;`` names; "" for any other line."""
    match = _SEP.fullmatch(line)
    return match["delimiter"].replace("\\t", "\t") if match else ""


def header_line(lines: Sequence[str], rules: quoting.Rules, wanted: Collection[str]) -> int | None:
    """Return the position of the first line that holds all wanted names; None: none of the first 100 does."""
    if not wanted:
        return None
    needed = {names.folded(name) for name in wanted}
    for position in range(min(LINES, len(lines))):
        if needed <= found(lines, rules, position):
            return position
    return None


def found(lines: Sequence[str], rules: quoting.Rules, position: int) -> set[str]:
    """Return the names that a header in this line would have, folded."""
    return {names.folded(cell) for cell in cells(lines, rules, position)}


def cells(lines: Sequence[str], rules: quoting.Rules, position: int) -> list[str]:
    """Return the cells of the record that begins in this line."""
    ahead = rules.readable([line.lstrip("\ufeff") for line in lines[position : position + _HEADER_LINES]])
    try:
        return next(rules.parser(ahead, strict=False), [])
    except csv.Error:
        return []


def elsewhere(lines: Sequence[str], rules: quoting.Rules, begin: int, wanted: Sequence[str]) -> str:
    """Say in which other line more of the wanted names stand than in the header's; "" where there is none."""
    needed = {names.folded(name): name for name in wanted}
    here = len(needed.keys() & found(lines, rules, begin)) if begin < len(lines) else 0
    if here == len(needed):
        return ""
    counts = {
        position: len(needed.keys() & found(lines, rules, position))
        for position in range(min(LINES, len(lines)))
        if position != begin
    }
    best = max(counts, key=lambda position: counts[position], default=begin)
    if counts.get(best, 0) <= here:
        return ""
    there = found(lines, rules, best)
    known = ", ".join(repr(name) for fold, name in needed.items() if fold in there)
    lacking = ", ".join(repr(name) for fold, name in needed.items() if fold not in there)
    but = f", but not {lacking}" if lacking else ""
    return f"Line {best + 1} has {known}{but}: if it is the header, use skip_lines={best}."
