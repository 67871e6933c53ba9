"""What type a column has, over all its rows: the values of ``metadata=typed`` (API.md §2, §5).

A column is a number where one form of number_forms.py writes all its cells back, a boolean where all are true or false,
otherwise text. Blanks around numbers say nothing, and cells without a value (nulls.py) nothing at all.
"""

import dataclasses
from collections.abc import Collection, Sequence

from services.ingest.contract import nulls, number_forms

STRING = "string"
NUMBER = "number"
BOOLEAN = "boolean"
BOOLEANS = {"true": True, "false": False}

_SEPARATOR = "\x1f"
# Cells of a column that is text by now are counted up to this row: so many show whether it is meant as a number.
_COUNTED_ROWS = 1_000
# A column with more of other cells among its filled ones than this, and than one, is meant as text.
_ODD_SHARE = 0.25
_FEW = 10


@dataclasses.dataclass(frozen=True)
class Spoiled:
    """What keeps a column of numbers from being one: the first cell that is no number, or has another form."""

    position: int
    row: int
    cell: str
    # It is a number, only not of the form of those before it.
    other_form: bool


class _Column:
    """One column so far."""

    __slots__ = ("boolean", "filled", "forms", "odd", "spoiled")

    def __init__(self) -> None:
        self.boolean = True
        # Cells with a value, and those of them that are no numbers; exact while it matters.
        self.filled = self.odd = 0
        # Forms that all numbers have; None: no cell had a value yet.
        self.forms: frozenset[str] | None = None
        # Row, cell, and whether it is a number.
        self.spoiled: tuple[int, str, bool] | None = None

    @property
    def type(self) -> str:
        if self.forms is None:
            return STRING
        if self.spoiled is None:
            return NUMBER
        return BOOLEAN if self.boolean else STRING

    @property
    def may_change(self) -> bool:
        return self.spoiled is None or self.boolean

    @property
    def meant_as_number(self) -> bool:
        return self.odd <= max(1, self.filled * _ODD_SHARE) and self.filled - self.odd > max(1, self.odd)


class Types:
    """Narrows every column's type as blocks of rows pass by; a column that saw only empty cells is a string.

    Args:
        width: How many columns there are.
        without: Positions that need no type: it is declared.
        empty: Which cells have no value.
    """

    def __init__(self, width: int, without: Collection[int] = (), empty: nulls.Nulls | None = None) -> None:
        self._columns = [_Column() for _ in range(width)]
        self._open = [position for position in range(width) if position not in without]
        self._nulls = empty or nulls.Nulls()
        self._width = width
        self._rows = 0

    def add(self, rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> None:
        """Look at rows, each as wide as the header, and their numbers (1-based)."""
        room = max(0, _COUNTED_ROWS - self._rows)
        if 0 < room <= len(rows):
            self._look(rows[:room], numbers[:room])
            self._open = [position for position in self._open if self._columns[position].may_change]
            rows, numbers = rows[room:], numbers[room:]
        if rows and self._open:
            self._look(rows, numbers)

    def result(self) -> tuple[str, ...]:
        """Return string, number or boolean for each column."""
        return tuple(column.type for column in self._columns)

    def seen(self) -> tuple[str, ...]:
        """Return the same so far, "" for a column without any value yet: whatever it becomes, no row's is concerned."""
        return tuple(column.type if column.forms is not None else "" for column in self._columns)

    def spoiled(self) -> list[Spoiled]:
        """Return what keeps columns that are meant as numbers from being them."""
        return [
            Spoiled(position, *column.spoiled)
            for position, column in enumerate(self._columns)
            if column.spoiled is not None and column.type == STRING and column.meant_as_number
        ]

    def _look(self, rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> None:
        self._rows += len(rows)
        counting = self._rows <= _COUNTED_ROWS
        if len(self._open) * 4 > self._width:
            by_column: Sequence[Sequence[str]] = list(zip(*rows, strict=True))
            columns = [by_column[position] for position in self._open]
        else:
            columns = [[row[position] for row in rows] for position in self._open]
        closed = {
            position
            for position, cells in zip(self._open, columns, strict=True)
            if not self._narrow(self._columns[position], cells, numbers, counting=counting)
        }
        if closed:
            self._open = [position for position in self._open if position not in closed]

    def _narrow(self, column: _Column, cells: Sequence[str], numbers: Sequence[int], *, counting: bool) -> bool:
        """Drop the types that cells rule out; False where no more cells need be seen."""
        if self._nulls:
            cells = self._nulls.blanked(cells)
        if column.forms is None and not any(cells):
            return True
        # How many cells have a value matters up to the counted rows, and beyond them to tell few from none.
        counted = counting or column.filled < _FEW
        if not counted and len(distinct := set(cells)) * 2 < len(cells) and _as_before(column, distinct):
            return True
        if column.spoiled is None and column.forms is not None and _all_of(column, cells):
            column.filled += sum(1 for cell in cells if cell and not cell.isspace()) if counted else 0
            return True
        bare = [cell.strip() for cell in cells]
        filled = len(bare) - bare.count("")
        if not filled:
            return True
        column.boolean = column.boolean and all(cell.lower() in BOOLEANS for cell in set(bare) if cell)
        if column.spoiled is None and column.forms is not None and _all_of(column, bare):
            column.filled += filled if counted else 0
        elif column.spoiled is None or counting:
            self._walk(column, bare, numbers, counting=counting)
        return counting or column.may_change

    def _walk(self, column: _Column, bare: Sequence[str], numbers: Sequence[int], *, counting: bool) -> None:
        """Take cells one by one, up to the one that spoils the column and, where they are counted, beyond it."""
        for cell, number in zip(bare, numbers, strict=True):
            if not cell:
                continue
            forms = number_forms.of(cell)
            column.filled += 1
            column.odd += not forms
            common = forms if column.forms is None else column.forms & forms
            if column.spoiled is None:
                column.forms = common
                if not common:
                    column.spoiled = number, cell, bool(forms)
            if column.spoiled is not None and not counting:
                return


def _as_before(column: _Column, distinct: Collection[str]) -> bool:
    """Tell whether cells that differ leave the column's type as it is."""
    if column.spoiled is None:
        return column.forms is not None and _all_of(column, distinct)
    return column.boolean and all(not (bare := cell.strip()) or bare.lower() in BOOLEANS for cell in distinct)


def _all_of(column: _Column, cells: Collection[str]) -> bool:
    """Tell whether all cells have one of the column's forms, or are empty; then keep the forms that all have."""
    joined = _SEPARATOR.join(cells) + _SEPARATOR
    if joined.count(_SEPARATOR) != len(cells):
        return False
    forms = [form for form in column.forms or () if number_forms.matcher(form, _SEPARATOR)(joined)]
    if forms and ("e" in joined or max(map(len, cells)) > number_forms.SAFE_CHARACTERS):
        filled = list(filter(None, map(str.strip, cells) if " " in joined else cells))
        forms = [form for form in forms if number_forms.writes_all(form, filled)]
    if not forms:
        return False
    column.forms = frozenset(forms)
    return True
