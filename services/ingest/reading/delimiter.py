"""Which character parts the cells: the one that finds the wanted columns, and rows as wide as the header."""

import csv
import io
from collections.abc import Collection

from services.ingest.request import options

_SAMPLE_CHARACTERS = 128 << 10
_SAMPLE_ROWS = 200


def find(text: str, wanted: Collection[str]) -> str:
    """Return the delimiter of a file.

    Args:
        text: The file's head.
        wanted: Column names that the header must hold: the best hint.
    """
    lines = io.StringIO(text[:_SAMPLE_CHARACTERS], newline="").readlines()[: _SAMPLE_ROWS * 5]
    scores = {delimiter: _score(lines, delimiter, wanted) for delimiter in options.DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    return best if scores[best] > (0, 0.0, 0) else ","


def _score(lines: list[str], delimiter: str, wanted: Collection[str]) -> tuple[int, float, int]:
    """Score a delimiter: wanted columns found, share of rows as wide as the header, columns."""
    widths: list[int] = []
    header: list[str] = []
    for cells in csv.reader(lines, delimiter=delimiter):
        if cells and not header:
            header = cells
        elif cells:
            widths.append(len(cells))
        if len(widths) == _SAMPLE_ROWS:
            break
    if len(header) < 2:
        return 0, 0.0, 0
    found = len({name.strip() for name in header} & set(wanted))
    fitting = sum(1 for width in widths if width == len(header)) / len(widths) if widths else 0.0
    return found, round(fitting, 1), len(header)
