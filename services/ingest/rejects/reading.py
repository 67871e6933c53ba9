"""The rows that were not used, one by one: from the ledger, and what that does not store from the source."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from vectorline.v1 import ledger_pb2

from services.ingest import failures, threads
from services.ingest.planning import plan
from services.ingest.rejects import export
from services.ingest.splitting import reread, task_source

_POISON = "The chunk with this row killed its worker again and again; it was failed unread."
_GONE = " (The source is gone, or was changed: the row's cells cannot be shown.)"
# Rows that are read again at a time.
_BATCH_ROWS = 500
_BATCH_CHARACTERS = 1 << 20


async def lines(
    stored: AsyncIterator[ledger_pb2.ReadRejectsResponse], source: task_source.Opened | None, work: threads.Pool
) -> AsyncIterator[export.Line]:
    """The rejects chunk by chunk; cells that were not stored are read again, in one pass over the source.

    Args:
        stored: The ledger's.
        source: The task's source; None: there is none, and cells that were not stored stay unknown.
        work: Where the source is read.

    Raises:
        failures.SourceUnavailable: The source does not answer now.
    """
    again = _Again(source, work)
    async with contextlib.aclosing(again):
        async for part in stored:
            if part.reason:
                async for line in _failed_chunk(part, source, again):
                    yield line
            wanted = [reject.row_number for reject in part.rejects if not reject.cells]
            found = {row.row_number: row for row in await again.rows(wanted)} if wanted else {}
            for reject in part.rejects:
                row = found.get(reject.row_number)
                cells: Sequence[str] = list(reject.cells) or (row.cells if row else ())
                message = reject.message if cells else f"{reject.message}{again.remark}"
                line_number = reject.line or (row.line if row else 0)
                yield export.Line(reject.row_number, line_number, reject.reason, message, cells)


async def skipped(source: task_source.Opened, work: threads.Pool) -> AsyncIterator[export.Line]:
    """The rows left out on purpose, read again from the source.

    Raises:
        failures.Failure: The source is gone, or another by now.
        failures.SourceUnavailable: It does not answer now.
    """
    reading = source.rereading()
    try:
        async with contextlib.aclosing(work.iterate(_skipped(reading, source.plan))) as batches:
            async for batch in batches:
                for row in batch:
                    yield export.Line(row.row_number, row.line, row.reason, row.message, row.cells)
    finally:
        await work.run(reading.close)


async def _failed_chunk(
    part: ledger_pb2.ReadRejectsResponse, source: task_source.Opened | None, again: "_Again"
) -> AsyncIterator[export.Line]:
    """Every row of a chunk that was failed by its header alone."""
    numbers: Iterable[int] = range(part.first_row, part.first_row + part.rows)
    if source is not None:
        numbers = source.rows_of_chunk(part.chunk, part.first_row, part.rows)
    wanted = list(numbers)
    found = {row.row_number: row for row in await again.rows(wanted)}
    for number in wanted:
        row = found.get(number)
        if row is None:
            yield export.Line(number, 0, part.reason, _POISON + again.remark, ())
        elif not row.skipped:
            yield export.Line(number, row.line, part.reason, _POISON, row.cells)


class _Again:
    """Reads rows of the source again, as long as it is there."""

    def __init__(self, source: task_source.Opened | None, work: threads.Pool) -> None:
        self._work = work
        self._reading = source.rereading() if source else None
        # What is said of a row that could not be read again.
        self.remark = ""

    async def rows(self, numbers: Sequence[int]) -> list[reread.Rebuilt]:
        """Some rows, ascending; none where the source is gone."""
        if self._reading is None:
            return []
        try:
            return await self._work.run(list, self._reading.rows(numbers))
        except failures.Failure:
            self.remark = _GONE  # the rows' numbers and reasons are still told
            await self.aclose()
            return []

    async def aclose(self) -> None:
        """Close the source."""
        if self._reading is not None:
            reading, self._reading = self._reading, None
            await self._work.run(reading.close)


def _skipped(reading: reread.Reread, made: plan.Plan) -> Iterator[list[reread.Rebuilt]]:
    """The skipped rows of a task, some at a time, in steps that take no long while."""
    for numbers in _batches(made):
        batch: list[reread.Rebuilt] = []
        characters = 0
        for row in reading.rows(numbers):
            if row.skipped:
                batch.append(row)
                characters += sum(map(len, row.cells))
            if characters > _BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
        yield batch


def _batches(made: plan.Plan) -> Iterator[Sequence[int]]:
    """The rows of a task, some at a time."""
    if made.selected is not None:
        yield from (tuple(made.selected.rows_of(number)) for number in range(len(made.selected.chunks)))
        return
    for first in range(1, made.rows_total + 1, _BATCH_ROWS):
        yield range(first, min(first + _BATCH_ROWS, made.rows_total + 1))
