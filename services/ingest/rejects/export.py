"""Rejected rows as a file, CSV or JSON lines: the source's columns, and ours.

The CSV can be mended and loaded again: what a cell holds is what the source had, but for a ' before what a spreadsheet
would run, which is taken off again (see ``reading.exported``). A column of the source that has the name of one of ours
is called csv_<name>.
"""

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from services.ingest.contract import metadata
from services.ingest.reading import exported, reader

FLUSH_BYTES = 64 << 10
# Of these the cells are no cells: the reader gives the line as it stands.
_UNPARSED = frozenset({reader.BAD_QUOTING, reader.BAD_ENCODING, reader.FIELD_TOO_LONG})


class Line(NamedTuple):
    """One row that was not used."""

    # 1-based, without the header.
    row_number: int
    # 1-based line of the file where it begins; 0: not known.
    line_number: int
    reason: str
    message: str
    cells: Sequence[str]


class Gathered:
    """Text of one of the two forms, handed on message by message.

    Args:
        form: csv or jsonl; empty: csv.
    """

    def __init__(self, form: str) -> None:
        self.content_type = "application/jsonl" if form == "jsonl" else "text/csv; charset=utf-8"
        self._jsonl = form == "jsonl"
        self._buffer = io.StringIO()
        self._writer = csv.writer(self._buffer)

    def full(self) -> bool:
        """Enough is gathered for a message."""
        return self._buffer.tell() >= FLUSH_BYTES

    def take(self) -> bytes:
        """What was gathered since the last call, UTF-8."""
        data = self._buffer.getvalue().encode()
        self._buffer.seek(0)
        self._buffer.truncate()
        return data


class Export(Gathered):
    """Writes lines in one of the two forms.

    Args:
        form: csv or jsonl; empty: csv.
        columns: The source's.
        delimiter: The source's, in which a line that is shown as it stands is written.
    """

    def __init__(self, form: str, columns: Sequence[str], delimiter: str = ",") -> None:
        super().__init__(form)
        self._columns = metadata.set_apart(columns, exported.COLUMNS)
        self._delimiter = delimiter or ","
        if not self._jsonl:
            self._writer.writerow([*map(exported.escaped, self._columns), *exported.COLUMNS])

    def add(self, line: Line) -> None:
        """Add one row."""
        cells, text = self._parsed(line)
        if self._jsonl:
            self._add_object(line, cells, text)
            return
        padded = [*cells[: len(self._columns)], *[""] * (len(self._columns) - len(cells))]
        ours = (line.row_number, line.line_number or "", line.reason, line.message, text)
        self._writer.writerow([*map(exported.escaped, padded), *ours[:3], *map(exported.escaped, ours[3:])])

    def _add_object(self, line: Line, cells: Sequence[str], text: str) -> None:
        row: dict[str, Any] = dict(zip(self._columns, cells, strict=False))
        row |= {"row_number": line.row_number, "reason": line.reason, "message": line.message}
        if line.line_number:
            row["line_number"] = line.line_number
        if text:
            row["line_text"] = text
        self._buffer.write(orjson.dumps(row).decode() + "\n")

    def _parsed(self, line: Line) -> tuple[Sequence[str], str]:
        """The row's cells, and the line as it stands where cells do not say all of it."""
        if line.reason in _UNPARSED and len(line.cells) == 1 < len(self._columns):
            return (), line.cells[0]
        if len(line.cells) <= len(self._columns):
            return line.cells, ""
        out = io.StringIO()
        csv.writer(out, delimiter=self._delimiter, lineterminator="").writerow(line.cells)
        return line.cells[: len(self._columns)], out.getvalue()


class Names(Gathered):
    """Writes a list of names in one of the two forms.

    Args:
        form: csv or jsonl; empty: csv.
        column: What they are.
    """

    def __init__(self, form: str, column: str) -> None:
        super().__init__(form)
        self._column = column
        if not self._jsonl:
            self._writer.writerow([column])

    def add(self, names: Sequence[str]) -> None:
        """Add some."""
        if self._jsonl:
            self._buffer.writelines(orjson.dumps({self._column: name}).decode() + "\n" for name in names)
        else:
            self._writer.writerows([exported.escaped(name)] for name in names)
