"""Cells that mean "no value": blank ones, and those that a request names by ``null_values`` (API.md §5).

Compared without outer blanks and with their case. A row with such cells is the row with empty ones instead: what has no
value is no id, no text, no date and no metadata, and never makes a column text. ``metadata=legacy`` keeps the cells.
"""

from collections.abc import Sequence

from services.ingest.request import options


class Nulls:
    """The cells without a value.

    Args:
        values: Beside the blank ones; without outer blanks.
    """

    def __init__(self, values: Sequence[str] = ()) -> None:
        self._values = frozenset(filter(None, values))

    def __bool__(self) -> bool:
        """Tell whether any cell that is not blank means nothing."""
        return bool(self._values)

    def is_null(self, cell: str) -> bool:
        """Tell whether a cell has no value."""
        bare = cell.strip()
        return not bare or bare in self._values

    def blanked(self, cells: Sequence[str]) -> Sequence[str]:
        """Return cells (a row, or a column) with those that are named as null empty; the same ones where none is."""
        values = self._values
        if not values or not any(cell.strip() in values for cell in cells):
            return cells
        return ["" if cell.strip() in values else cell for cell in cells]


def of(chosen: options.Options) -> Nulls:
    """Return the null cells of a request."""
    return Nulls(chosen.null_values)
