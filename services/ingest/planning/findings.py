"""What a scan finds out about a file's rows and header that is worth a warning."""

from collections.abc import Iterator, Sequence

from services.ingest import warning
from services.ingest.reading import block, dialect, encoding, header, mojibake, quoting, shape
from services.ingest.request import options

# Of names that stand twice.
_NAMES = 20
SKIPPED = {
    shape.BLANK_ROW: (
        "blank_rows",
        "{count:,} rows hold nothing but blanks and are skipped, the first in line {line:,}.",
    ),
    shape.REPEATED_HEADER: (
        "repeated_header",
        "The header stands again {count:,} times below, first in line {line:,}; these lines are skipped.",
    ),
}


class Findings:
    """Gathers warnings during a pass."""

    def __init__(self) -> None:
        # By flaw: how many rows, the first one's number and line.
        self._skipped: dict[str, tuple[int, int, int]] = {}
        self._head: list[warning.Warning] = []
        self._table: list[warning.Warning] = []

    def add(self, rows: block.Block) -> None:
        """Count a block's rows that are skipped."""
        for position in sorted(rows.flaws):
            if (flaw := rows.flaws[position]) in SKIPPED:
                count, row, line = self._skipped.get(flaw, (0, rows.first_row + position, rows.line_of(position)))
                self._skipped[flaw] = count + 1, row, line

    def of_head(self, head: bytes, form: dialect.Dialect) -> None:
        """Look at the text of the file's first bytes, its mark aside."""
        if form.encoding == encoding.UTF8 and (said := mojibake.found(head.decode(errors="replace"))):
            self._head = [said]

    def of_table(self, form: dialect.Dialect, cells: Sequence[str], chosen: options.Options) -> None:
        """Look at how the table is written.

        Args:
            form: What was found.
            cells: The header's.
            chosen: What was asked for.
        """
        self._table = [*_of_header(form, cells), *_of_quoting(form, chosen)]

    def warnings(self) -> Iterator[warning.Warning]:
        """Return what was found."""
        yield from self._head
        yield from self._table
        for flaw, (count, row, line) in self._skipped.items():
            code, words = SKIPPED[flaw]
            yield warning.Warning(code, words.format(count=count, line=line), row=row, count=count)


def _of_header(form: dialect.Dialect, cells: Sequence[str]) -> Iterator[warning.Warning]:
    if form.header_found:
        yield warning.Warning(
            "header_found",
            f"The header was found in line {form.preamble_lines + 1}, by the names that the request wants; the lines "
            f"above it are left out. skip_lines={form.preamble_lines} says so from the start.",
        )
    twice = header.repeated(cells)
    for name, count in list(twice.items())[:_NAMES]:
        yield warning.Warning(
            "duplicate_names",
            f"The header has {name[:100]!r} {count:,} times; the later ones are called {name[:100]}_2 and so on.",
            column=name[:100],
            count=count,
        )
    if len(twice) > _NAMES:
        yield warning.Warning(
            "duplicate_names", f"{len(twice) - _NAMES:,} more names stand twice.", count=len(twice) - _NAMES
        )


def _of_quoting(form: dialect.Dialect, chosen: options.Options) -> Iterator[warning.Warning]:
    if form.quote != '"':
        yield warning.Warning(
            "single_quotes", "Cells are quoted by ' and not by \"; that is taken as the file's quote throughout."
        )
    if chosen.quoting == "auto" and form.quoting != quoting.CSV:
        yield warning.Warning(
            "quoting_detected",
            f"The file does not quote as CSV does (RFC 4180); it is read by quoting={form.quoting}, which explains its "
            f"first rows. quoting={form.quoting} or quoting=csv settles it.",
        )
