"""CSV files for tests."""

import csv
import io
from collections.abc import Iterable, Sequence

HEADER = ("id", "formatted_text", "price", "in_stock", "zip")


def text_of(number: int) -> str:
    """A text of about ten words, another for every number."""
    return (
        f"Item {number} is a sturdy thing of kind {number % 97} for room {number % 13} and year {1900 + number % 120}."
    )


def rows(count: int, first: int = 1) -> list[tuple[str, ...]]:
    """Good rows."""
    return [
        (f"i{number}", text_of(number), f"{number / 4}", "true" if number % 2 else "false", f"{number % 1000:05}")
        for number in range(first, first + count)
    ]


def of(records: Iterable[Sequence[str]], header: Sequence[str] = HEADER) -> bytes:
    """A CSV of these rows."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows(records)
    return out.getvalue().encode()
