"""Which character parts the cells: the one that finds the wanted columns, and rows as wide as the header."""

import csv
from collections.abc import Collection, Sequence

from services.ingest.reading import names, preamble, quoting
from services.ingest.request import options

_SAMPLE_ROWS = 200


def find(
    lines: Sequence[str], wanted: Collection[str], kind: str, named: str, *, search: bool, declared: bool
) -> tuple[quoting.Rules, int]:
    """Return the delimiter and the quote of a file, and the position of the line in which its table begins.

    Args:
        lines: Whole lines of the file's head.
        wanted: Column names that the header must hold: the best hint.
        kind: How the file quotes, as the caller says; empty: not said.
        named: The delimiter that the caller or the file itself names; empty: none.
        search: The header may stand further down.
        declared: The caller named it, and no other is looked for.
    """
    first = next((position for position, line in enumerate(lines) if line.strip("\ufeff\r\n\0\x1a")), 0)
    characters = (named,) if declared else tuple(dict.fromkeys((*filter(None, [named]), *options.DELIMITERS)))
    for quote in ('"', quoting.SINGLE):
        rules = [quoting.Rules(each, kind or quoting.CSV, quote) for each in characters]
        begins = {each: begin for each in rules if (begin := _begin(lines, each, wanted, first, search)) is not None}
        if begins:
            best = max(begins, key=lambda each: (each.delimiter == named, _score(lines, each, begins[each], wanted)))
            return best, begins[best]
    rules = [quoting.Rules(each, kind or quoting.CSV) for each in characters]
    scores = {each: _score(lines, each, first, wanted) for each in rules}
    best = max(rules, key=lambda each: scores[each])
    if named or scores[best] <= (0, 0.0, 0):
        best = quoting.Rules(named or ",", kind or quoting.CSV)
    return best, first


def _begin(lines: Sequence[str], rules: quoting.Rules, wanted: Collection[str], first: int, search: bool) -> int | None:
    """Return the position of the header's line."""
    if search:
        return preamble.header_line(lines, rules, wanted)
    needed = {names.folded(name) for name in wanted}
    return first if needed and needed <= preamble.found(lines, rules, first) else None


def _score(lines: Sequence[str], rules: quoting.Rules, begin: int, wanted: Collection[str]) -> tuple[int, float, int]:
    """Score a delimiter: wanted columns found, share of rows as wide as the header, columns."""
    widths: list[int] = []
    header: list[str] = []
    try:
        for cells in rules.parser(rules.readable(list(lines[begin : begin + _SAMPLE_ROWS * 5])), strict=False):
            if cells and not header:
                header = cells
            elif cells:
                widths.append(len(cells))
            if len(widths) == _SAMPLE_ROWS:
                break
    except csv.Error:
        return 0, 0.0, 0
    if len(header) < 2:
        return 0, 0.0, 0
    known = len({names.folded(name) for name in header} & {names.folded(name) for name in wanted})
    fitting = sum(1 for width in widths if width == len(header)) / len(widths) if widths else 0.0
    return known, round(fitting, 1), len(header)
