"""What type a column has, over all its rows: the values of ``metadata=typed`` (API.md §2)."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

STRING = "string"
NUMBER = "number"
BOOLEAN = "boolean"
BOOLEANS = {"true": True, "false": False}

_SEPARATOR = "\x1f"
# A number as JSON writes it (RFC 8259 §6): no leading zeros, no plus, no blanks, no nan; or nothing.
_NUMBERS = re.compile(r"(?>(?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)?\x1f)*+")
# Whole numbers from here on are not all doubles (IEEE 754): such a column holds keys and stays text.
_INEXACT_INTEGER = 2**53
_DIGITS_AT_RISK = re.compile(r"[0-9]{16}")


class Types:
    """Narrows every column's type as blocks of rows pass by; a column that saw only empty cells is a string.

    Args:
        width: How many columns there are.
    """

    def __init__(self, width: int) -> None:
        self._numbers = set(range(width))
        self._booleans = set(range(width))
        self._filled: set[int] = set()
        self._width = width

    def add(self, rows: Sequence[Sequence[str]]) -> None:
        """Look at a block of rows, each as wide as the header."""
        candidates = self._numbers | self._booleans
        if not rows or not candidates:
            return
        if len(candidates) * 4 > self._width:
            by_column: Sequence[Sequence[str]] = list(zip(*rows, strict=True))
            columns = {position: by_column[position] for position in candidates}
        else:
            columns = {position: [row[position] for row in rows] for position in candidates}
        numeric = [position for position in sorted(candidates) if self._narrow(position, columns[position])]
        self._check_range([columns[position] for position in numeric], numeric)

    def result(self) -> tuple[str, ...]:
        """Return string, number or boolean for each column."""
        return tuple(self._type(position) for position in range(self._width))

    def _type(self, position: int) -> str:
        if position not in self._filled:
            return STRING
        if position in self._numbers:
            return NUMBER
        return BOOLEAN if position in self._booleans else STRING

    def _narrow(self, position: int, cells: Sequence[str]) -> bool:
        """Drop the types that a block's cells rule out; True where their range as numbers is still to be checked."""
        if position not in self._filled:
            if not any(cells):
                return False
            self._filled.add(position)
        if position in self._booleans and not all(cell.lower() in BOOLEANS for cell in set(cells) if cell):
            self._booleans.discard(position)
        if position not in self._numbers:
            return False
        joined = _SEPARATOR.join(cells) + _SEPARATOR
        if not _NUMBERS.fullmatch(joined) or joined.count(_SEPARATOR) != len(cells):
            self._numbers.discard(position)
            return False
        return "e" in joined or "E" in joined or bool(_DIGITS_AT_RISK.search(joined))

    def _check_range(self, columns: list[Sequence[str]], positions: list[int]) -> None:
        """Keep the columns whose numbers are all finite doubles, and whole ones below ±2^53."""
        for position, cells in zip(positions, columns, strict=True):
            filled = pd.Series([cell for cell in cells if cell], dtype=object)
            values = pd.to_numeric(filled, errors="coerce").astype("float64")
            whole = ~filled.str.contains("[.eE]", regex=True)
            too_big = whole & (values.abs() >= _INEXACT_INTEGER)
            if not np.isfinite(values).all() or too_big.any():
                self._numbers.discard(position)
