"""The rows at the head of a file: which kind of quoting explains them, and their habits."""

import collections
import csv
import dataclasses
import re
from collections.abc import Callable, Sequence

from services.ingest.reading import quoting, records

# More lines say no more.
LINES = 4_000
# A surplus of empty cells is a habit where this share of the rows has it.
_HABIT = 0.5
# Wider tables and surpluses are not looked at row by row: the ways to read a row grow with both.
_LOOKED_AT, _PIECES = 32, 4
_NUMBER = re.compile(r"\s*[+-]?[0-9]+(?:[.,][0-9]+)?\s*")
# What a number may be that was cut at a delimiter: 9,50 or 1,000,000, or one behind which a delimiter is too many.
_CUT_NUMBER = re.compile(r"[\s.,;:|+-]*[0-9][\s0-9.,;:|+-]*")
# The file is one whose cells are cut where more than this share of the rows shows it.
_CUT = 0.1


@dataclasses.dataclass
class Sample:
    """What one kind of quoting makes of the lines."""

    rules: quoting.Rules
    rows: list[list[str]] = dataclasses.field(default_factory=list)
    # Records that break the rules, within a line.
    broken: int = 0
    # A quote is never closed, or closed in another row's text.
    unbalanced: bool = False
    # Rows with a quote in a cell that is not quoted; rows with blanks around quotes; rows with quoted cells only.
    bare: int = 0
    loose: int = 0
    neat: int = 0
    quoted: bool = False

    @property
    def failed(self) -> bool:
        """The strict reading fails."""
        return self.unbalanced or self.broken > 0

    @property
    def clean(self) -> bool:
        """Every quote is where it should be."""
        return not self.failed and not self.loose and not (self.bare and self.quoted)

    @property
    def body(self) -> list[list[str]]:
        """The rows behind the first that have any content."""
        return [row for row in self.rows[1:] if has_content(row)]

    @property
    def even(self) -> bool:
        """All rows are as wide as the first, but for cells that are empty."""
        width = len(self.rows[0]) if self.rows else 0
        return width > 1 and all(len(row) >= width and not has_content(row[width:]) for row in self.body)


def read(lines: Sequence[str], rules: quoting.Rules, *, cut: bool) -> Sample:
    """Read lines.

    Args:
        lines: From the header on.
        rules: How.
        cut: The file goes on: the last record may be one that is not whole.
    """
    cut = cut or len(lines) > LINES
    lines = list(lines[:LINES])
    found = Sample(rules)
    parsed = records.Parsed(lines, [], [], [], {})
    looking = records.Records(rules, writer_quotes=True)
    parser = rules.parser(rules.readable(lines))
    while True:
        try:
            for row in parser:
                if row:
                    parsed.rows.append(row)
                    parsed.ends.append(parser.line_num)
            break
        except csv.Error:
            begun = parsed.ends[-1] if parsed.ends else 0
            while begun < len(lines) and not lines[begun].strip("\r\n"):
                begun += 1
            at_end = parser.line_num >= len(lines)
            if parser.line_num - begun > 1 or begun >= len(lines):
                found.unbalanced = not (cut and at_end)
                break
            if cut and at_end:
                break
            looking.broken(parsed, begun)
    if rules.kind != quoting.NONE:
        _count_quotes(parsed, rules, found)
    found.rows = parsed.rows
    return found


def _count_quotes(parsed: records.Parsed, rules: quoting.Rules, found: Sample) -> None:
    for position in range(len(parsed.rows)):
        text = parsed.text(position)
        if rules.quote not in text:
            continue
        record = rules.look_at(text.lstrip("\ufeff"))
        found.quoted = found.quoted or record.quoted
        if position in parsed.flaws:
            found.broken += 1
        elif record.cells is None:
            found.bare += 1
        elif record.loose and not rules.spaced:
            found.loose += 1
            parsed.rows[position] = record.cells
        else:
            found.neat += 1


def choose(lines: Sequence[str], rules: quoting.Rules, asked: str, *, cut: bool) -> Sample:
    """Return what the kind of quoting makes of a file's head that explains it.

    Args:
        lines: From the header on.
        rules: Delimiter and quote.
        asked: auto, csv, none or backslash.
        cut: The file goes on behind these lines.
    """

    def by(kind: str, quote: str = rules.quote, *, spaced: bool = False) -> Sample:
        return read(lines, quoting.Rules(rules.delimiter, kind, quote, spaced), cut=cut)

    if asked == quoting.NONE:
        return by(quoting.NONE)
    if asked != "auto":
        return _spaced(by, asked, rules.quote)
    found = _spaced(by, quoting.CSV, rules.quote)
    text = "".join(lines[:LINES])
    if not found.clean and f"\\{rules.quote}" in text:
        other = _spaced(by, quoting.BACKSLASH, rules.quote)
        if other.clean and other.quoted and other.even:
            return other
    if found.failed and _unquoted(other := by(quoting.NONE)):
        return other
    if not found.quoted and quoting.SINGLE in text and (not found.even or _all_within(found.body, quoting.SINGLE)):
        other = _spaced(by, quoting.CSV, quoting.SINGLE)
        if other.clean and other.quoted and not other.bare and other.even:
            return other
    return found


def _spaced(by: Callable[..., Sample], kind: str, quote: str) -> Sample:
    """Read with and without blanks behind delimiters."""
    found = by(kind, quote)
    if found.clean and not found.bare:
        return found
    other = by(kind, quote, spaced=True)
    if not other.clean or not other.quoted or other.bare:
        return found
    # Where nothing else is wrong, a few rows do not change what the blanks of all others are.
    few = not found.failed and not found.bare and found.loose < found.neat
    return found if few else other


def _unquoted(found: Sample) -> bool:
    """Tell whether quotes are characters: several rows have them, and none where they would enclose a cell."""
    marked = [row for row in found.rows if any('"' in cell for cell in row)]
    return found.even and len(marked) > 1 and not any(map(_enclosed, marked))


def _enclosed(row: Sequence[str]) -> bool:
    """Tell whether cells are quoted after all, or are the pieces of a quoted cell."""
    opened = False
    for cell in map(str.strip, row):
        if len(cell) > 1 and cell[0] == cell[-1] == '"':
            return True
        if opened and cell.endswith('"'):
            return True
        opened = opened or cell.startswith('"')
    return False


def _all_within(rows: Sequence[Sequence[str]], quote: str) -> bool:
    """Tell whether in each row, of which there are several, all cells but numbers are within quotes."""
    for row in rows:
        words = [cell for cell in map(str.strip, row) if cell and not _NUMBER.fullmatch(cell)]
        if not words or not all(len(cell) > 1 and cell[0] == cell[-1] == quote for cell in words):
            return False
    return len(rows) > 1


def nameless(header: Sequence[str]) -> int:
    """Return how many cells at a header's end name no column."""
    filled = [position for position, cell in enumerate(header, start=1) if cell.strip()]
    return len(header) - filled[-1] if filled else 0


def surplus(width: int, body: Sequence[Sequence[str]], most: int) -> int:
    """Return how many empty cells behind the last column say nothing.

    As many as most rows of this file have; or any number, where the last column is never empty. Any other row with more
    may well be one whose cells were cut at the wrong delimiter, and whose last cell is empty (see can_only_be). Nor is
    any number right where many cells are cut: in rows that are too wide, they begin with the blank that stood behind a
    comma.

    Args:
        width: Columns of the table.
        body: Rows.
        most: What stands for any number.
    """
    wider = [row for row in body if len(row) > width]
    if sum(any(cell.startswith(" ") and cell.strip() for cell in row) for row in wider) > _CUT * len(body):
        return 0
    if all(row[-1].strip() for row in body if len(row) == width):
        return most
    counts = collections.Counter(len(row) - width for row in wider if not has_content(row[width:]))
    return max((count for count, rows in counts.items() if rows >= _HABIT * len(body)), default=0)


def number_columns(width: int, body: Sequence[Sequence[str]]) -> str:
    """Return a character a column: "N" for numbers (in two rows at least), "n" where some are empty, "-" for others."""
    even = [row for row in body if len(row) == width]
    filled = [[cell for cell in map(str.strip, cells) if cell] for cells in zip(*even, strict=True)]
    numbers = [len(cells) > 1 and all(map(_NUMBER.fullmatch, cells)) for cells in filled]
    return "".join(
        "-" if not are else "N" if len(cells) == len(even) else "n" for are, cells in zip(numbers, filled, strict=True)
    )


def can_only_be(row: Sequence[str], width: int, delimiter: str, numbers: str) -> bool:
    """Tell whether a row with surplus empty cells at its end can be read in no other way than without them.

    The other ways: some cell of it was cut in pieces at a delimiter, and what stands behind it belongs further to the
    left. They are ruled out by what would then stand, or be missing, in columns of numbers.

    Args:
        row: Its cells.
        width: Columns of the table.
        delimiter: The file's.
        numbers: See ``number_columns``.
    """
    if (
        not numbers.strip("-")
        or len(numbers) > _LOOKED_AT
        or len(row) - width > _PIECES
        or not _fits(row[:width], numbers)
    ):
        return False
    last = max(position for position, cell in enumerate(row) if cell.strip() or not position)
    for pieces in range(2, len(row) - width + 2):
        for cut in range(last):
            whole = delimiter.join(row[cut : cut + pieces])
            if _fits([*row[:cut], whole, *row[cut + pieces :]], numbers, cut):
                return False
    return True


def _fits(cells: Sequence[str], numbers: str, cut: int = -1) -> bool:
    for position, (cell, kind) in enumerate(zip(cells, numbers, strict=False)):
        if kind == "-" or (kind == "n" and not cell.strip()):
            continue
        if not (_CUT_NUMBER if position == cut else _NUMBER).fullmatch(cell):
            return False
    return True


def has_content(cells: Sequence[str]) -> bool:
    """Tell whether any cell is more than blanks."""
    return any(cell and not cell.isspace() for cell in cells)
