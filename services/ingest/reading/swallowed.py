"""Rows that two stray quotes swallowed: a quoted cell of several lines, each of which is a row of the table."""

import re

from services.ingest import failures
from services.ingest.reading import block, dialect, quoting
from services.ingest.request import options

_LINE_END = re.compile(r"\r\n?|\n")
_DIGITS, _LETTERS = re.compile(r"[0-9]+"), re.compile(r"[^\W\d_]+")
# Ids of so many characters at least are of one kind if they are as long as each other.
_LONG_ID = 6


class Watch:
    """Looks for cells that hold rows, where nobody said how cells are quoted.

    The strict reading takes them for text, and a reading without quotes for rows. No sign tells for sure which it is,
    so it is asked about: rows that are lost in silence are worse than a question.

    Args:
        form: The file's dialect.
        chosen: The request.
        width: Columns of the table.
        key: Position of the ids.
    """

    def __init__(self, form: dialect.Dialect, chosen: options.Options, width: int, key: int) -> None:
        self._on = chosen.quoting == "auto" and form.quoting == quoting.CSV and width > 1
        self._delimiter, self._spaced = form.delimiter, form.spaced
        self._width, self._key = width, key
        # Of two columns, two lines with one delimiter each may well be a text: a whole line must stand between them.
        self._least = 3 if width == 2 else 2

    def look_at(self, rows: block.Block) -> None:
        """Look at a block's records of several lines.

        Raises:
            failures.FileFailure: UNBALANCED_QUOTE.
        """
        if not self._on or not rows.ends or rows.ends[-1] - rows.lead - len(rows.blanks) <= len(rows.rows):
            return
        delimiter, most, start = self._delimiter, self._width - 1, rows.lead
        for position, end in enumerate(rows.ends):
            if end - start > 1:
                whole = delimiter.join(rows.rows[position])
                # A glance at the first line: most texts of several lines are left here.
                glance = whole.count(delimiter, 0, whole.find("\n")) >= most
                if glance and position not in rows.flaws and (lines := self._held(whole)):
                    raise self._failure(rows, position, lines)
            start = end

    def _held(self, record: str) -> int:
        """Return how many rows of the table a record is if its quotes are characters; 0: it is no such record."""
        pieces = [line.split(self._delimiter) for line in _LINE_END.split(record)]
        if len(pieces) < self._least or any(len(cells) != self._width for cells in pieces):
            return 0
        # Behind a comma within a sentence there is a blank.
        if not self._spaced and any(cell.startswith(" ") for cells in pieces for cell in cells):
            return 0
        row_ids = [cells[self._key].strip().strip('"') for cells in pieces]
        return len(pieces) if all(_alike(row_ids[0], each) for each in row_ids) else 0

    def _failure(self, rows: block.Block, position: int, lines: int) -> failures.FileFailure:
        return failures.FileFailure(
            "UNBALANCED_QUOTE",
            f"A quoted field in row {rows.first_row + position:,} (line {rows.line_of(position):,} of the file) goes "
            f"on over {lines:,} lines, each of which looks like a row of the table: two stray quotes may have "
            "swallowed them. Where the file's quotes are characters like any other use quoting=none; where it is one "
            "field, quoting=csv.",
        )


def _alike(first: str, other: str) -> bool:
    """Tell whether two ids are written in the same way."""
    if not first or not other or any(map(str.isspace, other)):
        return False
    return _form(first) == _form(other) or len(first) == len(other) >= _LONG_ID


def _form(row_id: str) -> str:
    return _LETTERS.sub("a", _DIGITS.sub("9", row_id))
