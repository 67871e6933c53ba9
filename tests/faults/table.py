"""The table of results: printed, and kept between two marks in docs/reliability.md."""

import fcntl
import os
import pathlib
import sys
from collections.abc import Sequence

from tests.faults.scene import Result

BEGIN, END = "<!-- table of make faults: begin -->", "<!-- table of make faults: end -->"
HEAD = ("| fault | outcome | seconds to recover | texts paid twice |", "| --- | --- | ---: | ---: |")


def show(results: Sequence[Result]) -> None:
    """Print the table."""
    sys.stdout.write("\n".join(["", *HEAD, *map(_row, results), ""]))


def keep(result: Result, order: Sequence[str]) -> None:
    """Put a cell's row into the file that FAULTS_TABLE names, in place of its row of before; `order`: of all faults."""
    file = os.environ.get("FAULTS_TABLE")
    if not file:
        return
    with pathlib.Path(file).open("r+") as page:
        fcntl.flock(page, fcntl.LOCK_EX)  # two parts of the matrix run at once
        before, rest = page.read().split(BEGIN)
        table, after = rest.split(END)
        rows = {
            row.split("|")[1].strip(): row for row in table.splitlines() if row.startswith("| ") and row not in HEAD
        }
        rows[result.fault] = _row(result)
        kept = [rows[fault] for fault in order if fault in rows]
        page.seek(0)
        page.write(before + "\n".join([BEGIN, *HEAD, *kept, END]) + after)
        page.truncate()


def _row(result: Result) -> str:
    return f"| {result.fault} | {result.outcome} | {result.seconds:.1f} | {result.twice} |"
