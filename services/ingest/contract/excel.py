"""Cells that Excel is kept from retyping: ``="00123"`` is the text 00123.

A cell that is exactly one such formula is its content, everywhere; ``="a"&"b"`` is none and stays.
"""

from collections.abc import Sequence

OPENING = '="'


def content(cell: str) -> str:
    """Return the content of a cell, blanks around the formula aside; any other cell as it is."""
    formula = cell.strip()
    if not formula.startswith(OPENING) or not formula.endswith('"') or len(formula) <= len(OPENING):
        return cell
    inner = formula[len(OPENING) : -1]
    # A quote is doubled inside of a text; a single one ends it, and more of a formula follows.
    return cell if '"' in inner.replace('""', "") else inner.replace('""', '"')


def contents(cells: Sequence[str]) -> Sequence[str]:
    """Return cells (a row, or a column) with the contents of such formulas; the same ones where none is."""
    if OPENING not in "".join(cells):
        return cells
    return [content(cell) for cell in cells]
