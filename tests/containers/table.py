"""The table of a run: a line a step, and kept in a document."""

import pathlib
from collections.abc import Sequence

from tests.containers import steps

BEGIN, END = "<!-- containers -->", "<!-- /containers -->"


def line(row: steps.Row) -> str:
    """As it is printed while the run goes on."""
    return f"{row.seconds:6.1f} s  {row.step}: {row.found}"


def markdown(said: str, rows: Sequence[steps.Row], seconds: float) -> str:
    """The whole table."""
    head = ["| step | seconds | found |", "| --- | ---: | --- |"]
    body = [f"| {row.step} | {row.seconds:.0f} | {row.found} |" for row in rows]
    return "\n".join([f"Engine {said}. {seconds:.0f} s in all.", "", *head, *body])


def keep(document: pathlib.Path, text: str) -> None:
    """Put the table between the document's two marks.

    Raises:
        ValueError: The marks are not there.
    """
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no {BEGIN} … {END}")
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
