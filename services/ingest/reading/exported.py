"""How our own file of rejects is written as CSV, so that it can be loaded again and its cells are what they were."""

import re
from collections.abc import Sequence

# Its columns, behind those of the file.
COLUMNS = ("row_number", "line_number", "reason", "message", "line_text")
_ESCAPE = "'"
# Spreadsheets run cells that begin like this (OWASP: CSV injection; the wide forms, too); and so begins what was
# escaped, or looks like it.
_DANGEROUS = re.compile("'*[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-]")
# Signed numbers, amounts, telephone numbers: nothing in them can name a function, a file or a command.
_NUMBER = re.compile(r"[+-][\d .,()/-]*\d[\d .,()/-]*([eE][+-]?\d+)?%?", re.ASCII)
_NUMBER_CHARACTERS = 64


def escaped(cell: str) -> str:
    """Return a cell as no spreadsheet runs it."""
    if _DANGEROUS.match(cell) is None or (len(cell) <= _NUMBER_CHARACTERS and _NUMBER.fullmatch(cell)):
        return cell
    return _ESCAPE + cell


def is_of_ours(columns: Sequence[str]) -> bool:
    """Tell whether a header is that of a file of rejects."""
    return tuple(columns[-len(COLUMNS) :]) == COLUMNS


def plain(cells: list[str]) -> list[str]:
    """Return a row's cells as they were before they were escaped."""
    return [cell[1:] if cell[:1] == _ESCAPE and _DANGEROUS.match(cell) else cell for cell in cells]
