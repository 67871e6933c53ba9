"""Where the table of a file begins and how it is written: delimiter, quoting, header, habits. Found from its head."""

import collections
import dataclasses
import io
from collections.abc import Sequence

from services.ingest import failures
from services.ingest.reading import delimiter, header, names, preamble, quoting, sample
from services.ingest.request import options

_SAMPLE_CHARACTERS = 256 << 10
# Stands for any number of cells.
ANY = 1 << 20


@dataclasses.dataclass(frozen=True)
class Table:
    """What was found."""

    rules: quoting.Rules
    # Lines above it.
    begin: int
    # Below lines that nobody said were there.
    header_found: bool
    # Some cell is quoted.
    writer_quotes: bool
    # How many columns there are without a header; 0: there is one.
    unnamed: int
    # How many cells at the end of the header are empty.
    nameless: int
    # How many empty cells behind the last column say nothing.
    surplus: int
    # Where that is not any number: which columns hold numbers, see sample.number_columns.
    numbers: str


def find(text: str, chosen: options.Options, *, cut: bool) -> Table:
    """Find the table.

    Args:
        text: The file's head.
        chosen: The request.
        cut: The file goes on behind its head.

    Raises:
        failures.FileFailure: MISSING_COLUMN: the wanted names stand in another line than the one that was asked for.
    """
    lines = _whole_lines(text[:_SAMPLE_CHARACTERS], cut=cut or len(text) > _SAMPLE_CHARACTERS)
    above, hint = _above(lines, chosen)
    wanted = header.wanted(chosen)
    named = chosen.header != "none"
    kind = "" if chosen.quoting == "auto" else chosen.quoting
    rules, position = delimiter.find(
        lines[above:],
        wanted if named else (),
        kind,
        chosen.delimiter or hint,
        search=named and chosen.skip_lines is None,
        declared=bool(chosen.delimiter),
    )
    begin = above + position
    if named:
        _refuse_elsewhere(lines, rules, begin, wanted)
    explained = sample.choose(lines[begin:], rules, chosen.quoting, cut=cut)
    first = explained.rows[0] if explained.rows else []
    body = explained.body if named else [*filter(any, explained.rows[:1]), *explained.body]
    unnamed = 0 if named else _usual_width(body)
    blank = all(not line.strip("\r\n") for line in lines[:begin])
    width = unnamed or len(first)
    surplus = sample.surplus(width, body, ANY)
    return Table(
        rules=explained.rules,
        begin=0 if blank else begin,
        header_found=named and chosen.skip_lines is None and any(_says(line) for line in lines[above:begin]),
        writer_quotes=explained.quoted,
        unnamed=unnamed,
        nameless=sample.nameless(first) if named else 0,
        surplus=surplus,
        numbers=sample.number_columns(width, body) if surplus < ANY else "",
    )


def _whole_lines(text: str, *, cut: bool) -> list[str]:
    lines = io.StringIO(text, newline="").readlines()
    return lines[:-1] if cut and len(lines) > 1 else lines


def _above(lines: Sequence[str], chosen: options.Options) -> tuple[int, str]:
    """Return how many lines to pass over, and the delimiter that one of them names."""
    asked = chosen.skip_lines or 0
    hint = next(filter(None, map(preamble.sep, lines[:asked])), "")
    while asked < len(lines) and not lines[asked].strip("\ufeff\r\n"):
        asked += 1
    if asked < len(lines) and (said := preamble.sep(lines[asked])):
        return asked + 1, said
    return chosen.skip_lines or 0, hint


def _says(line: str) -> bool:
    return bool(line.strip("\ufeff\r\n\0\x1a"))


def _refuse_elsewhere(lines: Sequence[str], rules: quoting.Rules, begin: int, wanted: Sequence[str]) -> None:
    if begin >= len(lines) or not (hint := preamble.elsewhere(lines, rules, begin, wanted)):
        return
    cells = preamble.cells(lines, rules, begin)
    known = preamble.found(lines, rules, begin)
    missing = [name for name in wanted if names.folded(name) not in known]
    raise failures.FileFailure("MISSING_COLUMN", header.without(cells, missing, hint))


def _usual_width(rows: Sequence[Sequence[str]]) -> int:
    counts = collections.Counter(map(len, rows))
    return max(counts, key=lambda width: (counts[width], width), default=1)
