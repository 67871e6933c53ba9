"""A pinned source and its plan, made into chunks. Pure: chunk n always holds the same rows, and the same bytes."""

import dataclasses
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import prometheus_client
import structlog
from vectorline.v1 import bill_pb2, chunk_pb2

from services.ingest import failures, sources
from services.ingest.contract import context, contract
from services.ingest.manifest import records
from services.ingest.planning import cursor, cutter, duplicates, plan
from services.ingest.reading import block as blocks
from services.ingest.splitting import hashed
from services.runtime import stages

log = structlog.get_logger()

DEFECTS = prometheus_client.Counter("vectorline_row_defects", "Rows rejected because our own code fell over them.")
READ = stages.Stage("read")

# Cells of rejects are shown, not indexed: they are cut so that a chunk stays small.
CELL_BYTES = 64 << 10
CELLS_BYTES = 256 << 10
_SHORTEST_CUT_BYTES = 64


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
    # Usable rows whose metadata hold less than the whole text, and the first of them (0: there is none).
    texts_cut: int = 0
    first_cut: int = 0
    # Of the skipped rows, those that a comparison found in the index just so.
    unchanged: int = 0
    # The usable rows, hashed; None: that was not asked for.
    sent: records.Sent | None = None


# Of some rows of the source (the end excluded), a byte each: 1 where a row is unchanged, 2 where it replaces a record.
Unchanged = Callable[[int, int], bytes]
UNCHANGED, REPLACES = 1, 2
Made = TypeVar("Made")
Made_co = TypeVar("Made_co", covariant=True)


def split(
    source: sources.Source,
    pinned: sources.Pinned,
    made: plan.Plan,
    task: context.Context,
    pairs: duplicates.Slices,
    *,
    first_chunk: int = 0,
    only: Callable[[int], bool] | None = None,
    unchanged: Unchanged | None = None,
    hashes: records.Hashes | None = None,
) -> Iterator[Chunk]:
    """Yield the wanted chunks in order.

    Args:
        source: Where the bytes are.
        pinned: Which bytes.
        made: The scan's plan.
        task: See context.Context.
        pairs: Reads the duplicates sidecar.
        first_chunk: Leave out the chunks before it.
        only: Says which chunks are wanted (None: all); asked once for each chunk, a shard of 256 at a time, when its
            turn comes. Shards without a wanted chunk are not read (but for gz, which is read from its beginning).
        unchanged: Says which rows do not travel; None: all do.
        hashes: The rows that travel are told hashed, too.

    Raises:
        failures.FileFailure: The rows read are not those of the plan's scan.
        failures.SourceFailure: The bytes cannot be had.
        failures.SourceUnavailable: The bytes cannot be had now.
    """
    judge = made.row_contract(task.options)
    hashing = hashed.Hashing(hashes, judge, task) if hashes is not None else None

    def builder(number: int, first_row: int, firsts: duplicates.Firsts, selected: Collection[int] | None) -> "_Builder":
        return _Builder(number, first_row, judge, task, firsts, selected=selected, unchanged=unchanged, hashing=hashing)

    yield from chunks_of(Splitter(made, pairs, builder), source, pinned, task, first_chunk=first_chunk, only=only)


def chunks_of(
    splitter: "Splitter[Made]",
    source: sources.Source,
    pinned: sources.Pinned,
    task: context.Context,
    *,
    first_chunk: int = 0,
    only: Callable[[int], bool] | None = None,
) -> Iterator[Made]:
    """Yield what a splitter makes of the wanted chunks; see ``split``."""
    made = splitter.plan
    reading = cursor.Cursor(source, pinned, made, task.options)
    try:
        for index in range(made.shard_of_chunk(first_chunk), len(made.shards)):
            numbers = range(max(first_chunk, made.shards[index].first_chunk), made.shard_end(index)[0])
            wanted = frozenset(numbers if only is None else filter(only, numbers))
            if wanted:
                yield from splitter.shard(index, READ.each(reading.shard(index)), wanted)
    finally:
        reading.close()


class Builder(Protocol[Made_co]):
    """Takes the rows of one chunk, and makes something of them."""

    number: int
    firsts: duplicates.Firsts

    def add(self, block: blocks.Block, start: int, end: int) -> None:
        """Add the block's rows ``start`` to ``end`` (exclusive)."""

    def chunk(self) -> Made_co:
        """Return what was made of the rows added."""


# Given a chunk's number, its first row, where rows with the same id are looked up, and the rows of a retry.
Make = Callable[[int, int, duplicates.Firsts, Collection[int] | None], Builder[Made]]


class Splitter(Generic[Made]):
    """Cuts the rows of one task's source into chunks, and has something made of each."""

    def __init__(self, made: plan.Plan, pairs: duplicates.Slices, make: "Make[Made]") -> None:
        self.plan = made
        self._pairs = pairs
        self._make = make

    def shard(self, index: int, blocks: Iterator[blocks.Block], wanted: frozenset[int]) -> Iterator[Made]:
        """Yield the wanted chunks of a shard, given its rows."""
        begun = self.plan.shards[index]
        builder = self._builder(begun.first_chunk, begun.first_row, firsts_of(begun, self._pairs))
        cutting, last = cutter.Cutter(self.plan.chunk_size), max(wanted)
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
                builder = self._builder(builder.number + 1, block.first_row + position, builder.firsts)
        if builder.number != self.plan.shard_end(index)[0] - 1:
            raise failures.SourceFailure("SOURCE_CHANGED", "The source gives other chunks than its scan; start anew.")
        if builder.number in wanted:
            yield builder.chunk()

    def _builder(self, number: int, first_row: int, firsts: duplicates.Firsts) -> Builder[Made]:
        chosen, selected = self.plan.selected, None
        if chosen is not None and number in chosen.by_source_chunk:
            selected = frozenset(chosen.rows_of(chosen.by_source_chunk[number]))
        return self._make(number, first_row, firsts, selected)


class _Builder:
    """Packs the rows of one chunk."""

    def __init__(
        self,
        number: int,
        first_row: int,
        judge: contract.Contract,
        task: context.Context,
        firsts: duplicates.Firsts,
        *,
        selected: Collection[int] | None,
        unchanged: Unchanged | None,
        hashing: hashed.Hashing | None,
    ) -> None:
        self.number = number
        self.firsts = firsts
        self._first_row = first_row if selected is None else min(selected)
        self._selected = selected
        self._same = unchanged
        self._unchanged = self._replacing = 0
        self._known = task.replaced_known
        self._hashed = hashing.chunk() if hashing is not None else None
        self._contract = judge
        self._common = judge.common(task, number)
        self._message = chunk_pb2.ChunkRows(namespace=task.options.namespace, common_metadata=self._common.entries)
        if task.replaces_nothing:
            self._message.replaced.CopyFrom(bill_pb2.Replaced())
        # Rows of the source's chunk so far, selected or not: a row's place in its chunk stays.
        self._position = 0
        self._rows = 0
        self._skipped = 0
        self._texts_cut = self._first_cut = 0
        # The first row over which our code fell, what that came to, and how many there are.
        self._defect: tuple[int, contract.Defect] | None = None
        self._defects = 0

    def add(self, block: blocks.Block, start: int, end: int) -> None:
        """Add the block's rows ``start`` to ``end`` (exclusive)."""
        judge = self._contract.judge
        first_of = self.firsts.between(block.first_row + start, block.first_row + end).get
        flaw_of, usable, common = block.flaws.get, self._message.rows, self._common
        selected = self._selected
        same = self._same(block.first_row + start, block.first_row + end) if self._same and start < end else b""
        sent, numbers = list[contract.Usable](), list[int]()
        for position in range(start, end):
            row, cells = block.first_row + position, block.rows[position]
            self._position += 1
            if selected is not None and row not in selected:
                continue
            if same and same[position - start] == UNCHANGED:
                self._rows += 1
                self._skipped += 1
                self._unchanged += 1
                continue
            outcome = judge(cells, flaw_of(position, ""), first_of(row, 0), self._position - 1, common)
            self._rows += 1
            if type(outcome) is contract.Usable:
                usable.add(row_number=row, vector_id=outcome.vector_id, text=outcome.text, metadata=outcome.metadata)
                sent.append(outcome)
                numbers.append(row)
                if same and same[position - start] == REPLACES:
                    self._replacing += 1
                if outcome.text_cut:
                    self._texts_cut += 1
                    self._first_cut = self._first_cut or row
            elif isinstance(outcome, contract.Reject):
                self._reject(row, block.line_of(position), cells, outcome)
            else:
                self._skipped += 1
        if self._hashed is not None:
            self._hashed.add(numbers, sent)

    def _reject(self, row: int, line: int, cells: Sequence[str], outcome: contract.Reject) -> None:
        self._message.rejects.add(
            row_number=row, line=line, reason=outcome.reason, message=outcome.message, cells=cut_cells(cells)
        )
        if isinstance(outcome, contract.Defect):
            self._defects += 1
            self._defect = self._defect or (row, outcome)

    def chunk(self) -> Chunk:
        """Return the chunk of the rows added; defects of ours among them are told once."""
        if self._defect is not None:
            row, defect = self._defect
            DEFECTS.inc(self._defects)
            log.error(
                "Rows were rejected because of a defect of ours.",
                action="row_defect",
                incident=secrets.token_hex(8),
                chunk=self.number,
                rows=self._defects,
                row=row,
                exc_info=defect.error,
            )
        if self._known:
            self._message.replaced.CopyFrom(bill_pb2.Replaced(least=self._replacing, most=self._replacing))
        return Chunk(
            number=self.number,
            first_row=self._first_row,
            rows=self._rows,
            skipped=self._skipped,
            rejected=len(self._message.rejects),
            payload=self._message.SerializeToString(deterministic=True),
            texts_cut=self._texts_cut,
            first_cut=self._first_cut,
            unchanged=self._unchanged,
            sent=self._hashed.sent() if self._hashed is not None else None,
        )


def firsts_of(shard: plan.Shard, pairs: duplicates.Slices) -> duplicates.Firsts:
    """The rows of a shard whose id an earlier row has."""
    return duplicates.Firsts(pairs, shard.first_pair, shard.pairs)


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
