"""A pinned source and its plan, made into chunks. Pure: chunk n always holds the same rows, and the same bytes."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from vectorline.v1 import chunk_pb2

from services.ingest import failures, sources
from services.ingest.contract import contract, metadata
from services.ingest.planning import cutter, duplicates, plan
from services.ingest.reading import block as blocks
from services.ingest.reading import header
from services.ingest.request import options
from services.ingest.splitting import cursor
from services.runtime import stages

READ = stages.Stage("read")

# Cells of rejects are shown, not indexed: they are cut so that a chunk stays small.
CELL_BYTES = 64 << 10
CELLS_BYTES = 256 << 10
_SHORTEST_CUT_BYTES = 64


@dataclasses.dataclass(frozen=True)
class Context:
    """What the rows' metadata say about their task."""

    task_id: str
    options: options.Options
    # Metadata ``source`` and ``s3_key`` of every row.
    source: str
    s3_key: str
    # RFC 3339; the task's created_at and not the clock, since a chunk split again must be the same.
    processed_at: str


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk ready to publish; rows = usable + skipped + rejected."""

    number: int
    # 1-based.
    first_row: int
    rows: int
    skipped: int
    rejected: int
    # A serialised vectorline.v1.ChunkRows, not compressed.
    payload: bytes


class Rebuilt(NamedTuple):
    """A row read again: its number and that of the line where it begins (1-based), cells, why it was not used."""

    row_number: int
    line: int
    cells: list[str]
    # Empty: it was used.
    reason: str
    message: str
    skipped: bool


def split(
    source: sources.Source,
    pinned: sources.Pinned,
    made: plan.Plan,
    context: Context,
    pairs: duplicates.Slices,
    *,
    first_chunk: int = 0,
    only: Callable[[int], bool] | None = None,
) -> Iterator[Chunk]:
    """Yield the wanted chunks in order.

    Args:
        source: Where the bytes are.
        pinned: Which bytes.
        made: The scan's plan.
        context: See Context.
        pairs: Reads the duplicates sidecar.
        first_chunk: Leave out the chunks before it.
        only: Says which chunks are wanted (None: all); asked once for each chunk, a shard of 256 at a time, when its
            turn comes. Shards without a wanted chunk are not read (but for gz, which is read from its beginning).

    Raises:
        failures.FileFailure: The rows read are not those of the plan's scan.
        failures.SourceFailure: The bytes cannot be had.
        failures.SourceUnavailable: The bytes cannot be had now.
    """
    splitter = _Splitter(made, context, pairs)
    reading = cursor.Cursor(source, pinned, made, context.options)
    try:
        for index in range(made.shard_of_chunk(first_chunk), len(made.shards)):
            numbers = range(max(first_chunk, made.shards[index].first_chunk), made.shard_end(index)[0])
            wanted = frozenset(numbers if only is None else filter(only, numbers))
            if wanted:
                yield from splitter.shard(index, READ.each(reading.shard(index)), wanted)
    finally:
        reading.close()


def rebuild(
    source: sources.Source,
    pinned: sources.Pinned,
    made: plan.Plan,
    context: Context,
    pairs: duplicates.Slices,
    *,
    first_row: int,
    rows: int,
) -> Iterator[Rebuilt]:
    """Read a range of rows again, for the export of rejects: cells as read, and what the contract says of each.

    Args:
        source: See split.
        pinned: See split.
        made: See split.
        context: See split.
        pairs: See split.
        first_row: 1-based.
        rows: How many.

    Raises:
        failures.FileFailure: See split.
        failures.SourceFailure: See split.
        failures.SourceUnavailable: See split.
    """
    splitter = _Splitter(made, context, pairs)
    reading = cursor.Cursor(source, pinned, made, context.options)
    end = min(first_row + rows, made.rows_total + 1)
    try:
        while first_row < end:
            index = made.shard_of_row(first_row)
            shard_end = min(end, made.shard_end(index)[1])
            yield from splitter.rebuilt(index, reading.shard(index), first_row, shard_end)
            first_row = shard_end
    finally:
        reading.close()


class _Splitter:
    """Judges the rows of one task's source and packs them."""

    def __init__(self, made: plan.Plan, context: Context, pairs: duplicates.Slices) -> None:
        self._plan = made
        self._context = context
        self._pairs = pairs
        chosen = header.resolved(made.columns, context.options)
        self._contract = contract.Contract(made.columns, made.types, chosen)
        self._selected: dict[int, frozenset[int]] | None = None
        if made.selected is not None:
            self._selected = {
                chunk: frozenset(made.selected.rows_of(number))
                for number, (chunk, _) in enumerate(made.selected.chunks)
            }

    def shard(self, index: int, blocks: Iterator[blocks.Block], wanted: frozenset[int]) -> Iterator[Chunk]:
        """Yield the wanted chunks of a shard, given its rows."""
        begun = self._plan.shards[index]
        builder = self._builder(begun.first_chunk, begun.first_row, self._duplicates(index))
        cutting, last = cutter.Cutter(self._plan.chunk_size), max(wanted)
        for block in blocks:
            start = 0
            for position in (*cutting.cut(block.sizes), len(block.rows)):
                if builder.number in wanted:
                    builder.add(block, start, position)
                start = position
                if position == len(block.rows):
                    break
                if builder.number in wanted:
                    yield builder.chunk()
                if builder.number == last:
                    return
                builder = self._builder(builder.number + 1, block.first_row + position, builder.duplicates)
        if builder.number != self._plan.shard_end(index)[0] - 1:
            raise failures.SourceFailure("SOURCE_CHANGED", "The source gives other chunks than its scan; start anew.")
        if builder.number in wanted:
            yield builder.chunk()

    def rebuilt(self, index: int, blocks: Iterator[blocks.Block], first_row: int, end_row: int) -> Iterator[Rebuilt]:
        """Yield what became of some rows of a shard."""
        repeated = self._duplicates(index)
        common = metadata.Common({}, b"")
        for block in blocks:
            for position, cells in enumerate(block.rows):
                row = block.first_row + position
                if row >= end_row:
                    return
                if row >= first_row:
                    flaw = block.flaws.get(position, "")
                    outcome = self._contract.judge(cells, flaw, repeated.get(row, 0), 0, common)
                    yield _rebuilt(row, block.line_of(position), cells, outcome)

    def _duplicates(self, index: int) -> dict[int, int]:
        begun = self._plan.shards[index]
        if not begun.pairs:
            return {}
        return duplicates.read(
            self._pairs(begun.first_pair * duplicates.PAIR_BYTES, begun.pairs * duplicates.PAIR_BYTES)
        )

    def _builder(self, number: int, first_row: int, repeated: dict[int, int]) -> "_Builder":
        selected = self._selected.get(number) if self._selected is not None else None
        return _Builder(number, first_row, self._contract, self._context, repeated, selected=selected)


class _Builder:
    """Packs the rows of one chunk."""

    def __init__(
        self,
        number: int,
        first_row: int,
        judge: contract.Contract,
        context: Context,
        repeated: dict[int, int],
        *,
        selected: frozenset[int] | None,
    ) -> None:
        self.number = number
        self.duplicates = repeated
        self._first_row = first_row if selected is None else min(selected)
        self._selected = selected
        self._contract = judge
        self._common = judge.encoder.common(
            {
                "source": context.source,
                "s3_key": context.s3_key,
                "chunk_id": number,
                "task_id": context.task_id,
                "question_id": context.options.question_id,
                "processed_at": context.processed_at,
            }
        )
        self._message = chunk_pb2.ChunkRows(namespace=context.options.namespace, common_metadata=self._common.entries)
        # Rows of the source's chunk so far, selected or not: a row's place in its chunk stays.
        self._position = 0
        self._rows = 0
        self._skipped = 0

    def add(self, block: blocks.Block, start: int, end: int) -> None:
        """Add the block's rows ``start`` to ``end`` (exclusive)."""
        judge, first_of = self._contract.judge, self.duplicates.get
        flaw_of, usable, common = block.flaws.get, self._message.rows, self._common
        selected = self._selected
        for position in range(start, end):
            row, cells = block.first_row + position, block.rows[position]
            self._position += 1
            if selected is not None and row not in selected:
                continue
            outcome = judge(cells, flaw_of(position, ""), first_of(row, 0), self._position - 1, common)
            self._rows += 1
            if type(outcome) is contract.Usable:
                usable.add(row_number=row, vector_id=outcome.vector_id, text=outcome.text, metadata=outcome.metadata)
            elif isinstance(outcome, contract.Reject):
                self._message.rejects.add(
                    row_number=row,
                    line=block.line_of(position),
                    reason=outcome.reason,
                    message=outcome.message,
                    cells=cut_cells(cells),
                )
            else:
                self._skipped += 1

    def chunk(self) -> Chunk:
        """Return the chunk of the rows added."""
        return Chunk(
            number=self.number,
            first_row=self._first_row,
            rows=self._rows,
            skipped=self._skipped,
            rejected=len(self._message.rejects),
            payload=self._message.SerializeToString(deterministic=True),
        )


def cut_cells(cells: Sequence[str]) -> list[str]:
    """Cut the cells of a reject, with a mark, where one is over 64 KiB or all together are over 256 KiB of UTF-8."""
    total = sum(map(len, cells))
    if total * 4 <= CELL_BYTES:
        return list(cells)
    limit = CELL_BYTES
    if total * 4 > CELLS_BYTES and sum(len(cell.encode()) for cell in cells) > CELLS_BYTES:
        limit = min(CELL_BYTES, max(_SHORTEST_CUT_BYTES, CELLS_BYTES // len(cells)))
    return [_cut(cell, limit) for cell in cells]


def _cut(cell: str, limit: int) -> str:
    data = cell.encode()
    if len(data) <= limit:
        return cell
    # The cut may fall inside of a character; what is left of it is dropped.
    return f"{data[:limit].decode(errors='ignore')}… [cut: {len(data):,} bytes]"


def _rebuilt(row: int, line: int, cells: list[str], outcome: contract.Outcome) -> Rebuilt:
    if isinstance(outcome, contract.Usable):
        return Rebuilt(row, line, cells, "", "", skipped=False)
    return Rebuilt(row, line, cells, outcome.reason, outcome.message, skipped=isinstance(outcome, contract.Skip))
