"""Rows that a program has, as the CSV that the line reads."""

import csv
import datetime
import decimal
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

# What is written here needs no detection.
DIALECT: Final[Mapping[str, Any]] = {"delimiter": ",", "encoding": "utf-8", "quoting": "csv"}
# A character is 1 to 4 bytes.
PIECE_CHARACTERS: Final = 2**18


class Encoder:
    """Turns mappings into CSV, some at a time: it holds what was added since the last `take`.

    Args:
        columns: The columns in their order; None: the keys of the first row.
    """

    def __init__(self, columns: Sequence[str] | None = None) -> None:
        self._columns = tuple(columns) if columns is not None else None
        self._known = frozenset[str]()
        self._text = io.StringIO()
        self._csv = csv.writer(self._text, lineterminator="\n")
        self._rows = 0
        if self._columns is not None:
            self._head(self._columns)

    @property
    def full(self) -> bool:
        """There is enough for a piece."""
        return self._text.tell() >= PIECE_CHARACTERS

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row. A key that it lacks, None and NaN become empty cells.

        Raises:
            ValueError: It has a key that is no column.
            TypeError: A value cannot be a cell.
        """
        self._rows += 1
        if self._columns is None:
            self._columns = tuple(row)
            self._head(self._columns)
        if not row.keys() <= self._known:
            extra = sorted(str(key) for key in row.keys() - self._known)
            raise ValueError(
                f"Row {self._rows} has {', '.join(extra)}, and the first row does not: "
                f"give the first row every key, or name all columns=."
            )
        self._csv.writerow([self._cell(name, row.get(name)) for name in self._columns])

    def take(self) -> bytes:
        """What was added since the last time."""
        data = self._text.getvalue().encode("utf-8")
        self._text.seek(0)
        self._text.truncate()
        return data

    def _head(self, columns: Sequence[str]) -> None:
        if not columns or not all(isinstance(name, str) for name in columns):
            raise TypeError(f"Columns have names, and at least one; these are {list(columns)!r}.")
        self._known = frozenset(columns)
        self._csv.writerow(columns)

    def _cell(self, column: str, value: Any) -> str:
        try:
            return cell(value)
        except TypeError as error:
            raise TypeError(f"Row {self._rows}, column {column!r}: {error}") from None


def cell(value: Any) -> str:
    """A value as a cell that the line reads back as the same; None, NaN, NaT and NA as an empty one.

    Raises:
        TypeError: It is nothing that a cell can hold.
    """
    if getattr(value, "shape", None) == ():  # a scalar of numpy
        value = value.item()
    unknown = isinstance(value, (float, datetime.date)) and value != value  # noqa: PLR0124 (NaN and NaT are not)
    if value is None or unknown or type(value).__name__ == "NAType":
        return ""
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | decimal.Decimal():
            return str(value)
        case float():
            return repr(float(value))
        case datetime.datetime() | datetime.date():
            return value.isoformat()
    raise TypeError(
        f"a {type(value).__name__} is no cell; join lists to one text and declare it by column_types=['name:list(|)']."
    )
