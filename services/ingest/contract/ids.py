"""A row's id: what it is, and how it is written in the index.

Ids are compared and stored without outer blanks. The index takes printable ASCII (``services.runtime.index_names``);
``on_bad_id=escape`` percent-encodes the UTF-8 of the rest, and a "%" that would be read as the beginning of an escape,
so that two ids never become one and all others stay as they are.
"""

import re
from collections.abc import Sequence

from services.ingest.contract import excel, nulls
from services.ingest.request import options

# Everything but printable ASCII, and what looks like an escape.
_ESCAPED = re.compile("[^ -~]|%(?=[0-9A-Fa-f]{2})")


def of_cell(cell: str, empty: nulls.Nulls) -> str:
    """Return the id that stands in a cell, "" where there is none."""
    row_id = cell.strip()
    if row_id[:1] == "=":
        row_id = excel.content(row_id).strip()
    return "" if empty and empty.is_null(row_id) else row_id


def of_cells(cells: Sequence[str], empty: nulls.Nulls) -> Sequence[str]:
    """Return what ``of_cell`` says of each cell of a column."""
    return empty.blanked(list(map(str.strip, excel.contents(cells))))


class VectorIds:
    """Writes the vector ids of one request.

    Args:
        chosen: The request: question_id and on_bad_id.
    """

    def __init__(self, chosen: options.Options) -> None:
        self._prefix = f"{chosen.question_id}."
        self._escapes = chosen.on_bad_id == "escape"

    def of(self, row_id: str) -> str:
        """Return the vector id of a row id; it may be one that the index refuses, unless they are escaped."""
        if self._escapes:
            row_id = _ESCAPED.sub(_percent, row_id)
        return self._prefix + row_id


def _percent(match: re.Match[str]) -> str:
    return "".join([f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass")])
