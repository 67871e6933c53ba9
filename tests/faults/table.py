"""The table of results: printed, and kept between two marks in docs/reliability.md."""

import os
import pathlib
import sys

from tests.faults.scene import Result

BEGIN, END = "<!-- table of make faults: begin -->", "<!-- table of make faults: end -->"


def publish(results: list[Result]) -> None:
    """Print the table; FAULTS_TABLE names a file in which it replaces what stands between the marks."""
    if not results:
        return
    rows = [
        "| fault | outcome | seconds to recover | texts paid twice |",
        "| --- | --- | ---: | ---: |",
        *(f"| {each.fault} | {each.outcome} | {each.seconds:.1f} | {each.twice} |" for each in results),
    ]
    text = "\n".join(rows)
    sys.stdout.write(f"\n{text}\n")
    if file := os.environ.get("FAULTS_TABLE"):
        path = pathlib.Path(file)
        page = path.read_text()
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
