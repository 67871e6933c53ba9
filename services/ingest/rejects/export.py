"""Rejected rows as a file: the original columns, row_number, reason, message; CSV or JSON lines."""

import csv
import io
from collections.abc import AsyncIterator, Iterator, Sequence

import orjson
from vectorline.v1 import ledger_pb2

from services.ingest import failures, threads
from services.ingest.splitting import task_source

FLUSH_BYTES = 64 << 10
# Spreadsheets run cells that begin like this (OWASP: CSV injection).
DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
EXTRA = ("row_number", "reason", "message")

Line = tuple[int, str, str, Sequence[str]]


class Export:
    """Writes lines in one of the two forms."""

    def __init__(self, form: str, columns: Sequence[str]) -> None:
        self.content_type = "application/jsonl" if form == "jsonl" else "text/csv; charset=utf-8"
        self._jsonl = form == "jsonl"
        self._columns = columns
        self._buffer = io.StringIO()
        self._writer = csv.writer(self._buffer)
        if not self._jsonl:
            self._writer.writerow([*map(_harmless, columns), *EXTRA])

    def add(self, line: Line) -> None:
        """Add one row."""
        number, reason, message, cells = line
        if self._jsonl:
            row = {**dict(zip(self._columns, cells, strict=False)), **dict(zip(EXTRA, line[:3], strict=True))}
            if len(cells) > len(self._columns):
                row["surplus_cells"] = list(cells[len(self._columns) :])
            self._buffer.write(orjson.dumps(row).decode() + "\n")
            return
        width = len(self._columns)
        padded = [*cells[:width], *[""] * (width - len(cells))]
        surplus = f" Surplus cells: {list(cells[width:])}" if len(cells) > width else ""
        self._writer.writerow([*map(_harmless, padded), number, reason, message + surplus])

    def full(self) -> bool:
        """Enough is gathered for a message."""
        return self._buffer.tell() >= FLUSH_BYTES

    def take(self) -> bytes:
        """What was gathered since the last call, UTF-8."""
        data = self._buffer.getvalue().encode()
        self._buffer.seek(0)
        self._buffer.truncate()
        return data


async def lines(
    stored: AsyncIterator[ledger_pb2.ReadRejectsResponse], source: task_source.Opened | None
) -> AsyncIterator[Line]:
    """The rejects chunk by chunk; cells that were not stored are read again from the source, if it is still there."""
    async for part in stored:
        if part.reason:
            async for line in _failed_chunk(part, source):
                yield line
        for reject in part.rejects:
            cells: Sequence[str] = list(reject.cells)
            if not cells and source is not None:
                cells = await _cells(source, reject.row_number)
            yield reject.row_number, reject.reason, reject.message, cells


async def skipped(source: task_source.Opened) -> AsyncIterator[Line]:
    """The rows left out on purpose, read again from the source."""
    chosen = source.plan.selected
    wanted = None
    if chosen is not None:
        wanted = {row for number in range(len(chosen.chunks)) for row in chosen.rows_of(number)}
    async for row in threads.iterate(source.rows(1, source.plan.rows_total)):
        if row.skipped and (wanted is None or row.row_number in wanted):
            yield row.row_number, row.reason, row.message, row.cells


async def _failed_chunk(part: ledger_pb2.ReadRejectsResponse, source: task_source.Opened | None) -> AsyncIterator[Line]:
    """Every row of a chunk that was failed by its header alone."""
    message = "The chunk with this row killed its worker again and again; it was failed unread."
    if source is None:
        for number in range(part.first_row, part.first_row + part.rows):
            yield number, part.reason, message, []
        return
    numbers = list(source.rows_of_chunk(part.chunk, part.first_row, part.rows))
    wanted = frozenset(numbers)
    async for row in threads.iterate(source.rows(numbers[0], numbers[-1] - numbers[0] + 1)):
        if not row.skipped and row.row_number in wanted:
            yield row.row_number, part.reason, message, row.cells


async def _cells(source: task_source.Opened, row_number: int) -> Sequence[str]:
    rows: Iterator[Sequence[str]] = (row.cells for row in source.rows(row_number, 1))
    try:
        async for cells in threads.iterate(rows):
            return cells
    except (failures.Failure, failures.SourceUnavailable):
        pass  # the source changed or is gone: the row's number and reason are still told
    return []


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(DANGEROUS) else cell
