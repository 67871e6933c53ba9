"""One streaming pass over a pinned source: whole-file errors, and the plan by which it is split."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from services.ingest import failures, sources, warning
from services.ingest.contract import columns, ids, nulls
from services.ingest.planning import cutter, duplicates, findings, firsts, plan
from services.ingest.reading import ballot, dialect, encoding, gunzip, header, reader, shape, swallowed
from services.ingest.reading import block as blocks
from services.ingest.request import options
from services.ingest.sources import streams

_EXAMPLES = 5

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Scan:
    """What a scan leaves behind."""

    plan: plan.Plan
    # With checksum and gzip filled in.
    pinned: sources.Pinned
    # Sidecar of duplicate rows (see duplicates.py); empty file: none.
    duplicates: pathlib.Path


class Witness(Protocol):
    """Sees the rows of a pass as it goes over them; only the last pass counts."""

    def begin(self, names: Sequence[str], chosen: options.Options) -> None:
        """A pass begins, over these columns; the request spells them as the file does."""

    def see(self, block: blocks.Block, cuts: Sequence[int], known: columns.SoFar) -> None:
        """The next rows, the places among them where a new chunk begins, and what the rows up to here say."""

    def end(self, made: plan.Plan, sidecar: pathlib.Path) -> None:
        """The scan is over; the sidecar of duplicates is as the plan has it."""

    def close(self) -> None:
        """A pass is over, also by an error."""


def scan(
    source: sources.Source,
    pinned: sources.Pinned,
    chosen: options.Options,
    folder: pathlib.Path,
    *,
    progress: Callable[[int], None] | None = None,
    witness: Witness | None = None,
) -> Scan:
    """Read the whole source once; again when all of it contradicts what its head or its beginning was taken for.

    That is: its encoding, the order of its dates, or whether its writer quotes cells.

    Args:
        source: Where the bytes are.
        pinned: Which bytes.
        chosen: The request.
        folder: For temporary files and the sidecar; needs about 24 bytes a row, and 9 more where ids stand twice.
        progress: Called with the rows read so far, about every MiB; what it raises ends the scan.
        witness: Sees the rows, too.

    Raises:
        failures.FileFailure: The file is not one to load; the message names the thing, the limit and the remedy.
        failures.SourceFailure: The bytes cannot be had.
        failures.SourceUnavailable: The bytes cannot be had now.
    """
    settled: encoding.Verdict | None = None
    orders: columns.Orders | None = None
    writer_quotes = False
    while True:
        with tempfile.TemporaryDirectory(dir=folder) as partitions:
            known = _Known(settled, orders, writer_quotes)
            run = _Pass(chosen, known, pathlib.Path(partitions), progress, witness)
            try:
                done = run.over(source, pinned, folder / "duplicates.bin")
            except _Contradicted as found:  # the passes that follow hold no vote
                settled, orders = found.verdict, None
            except columns.Unsettled as found:
                orders = found.orders
            except _WriterQuotes:
                writer_quotes = True
            else:
                if witness is not None:
                    witness.end(done.plan, done.duplicates)
                return done
            finally:
                if witness is not None:
                    witness.close()


class _Known(NamedTuple):
    """What an earlier pass over the same bytes found."""

    encoding: encoding.Verdict | None
    orders: columns.Orders | None
    writer_quotes: bool


class _Contradicted(Exception):
    def __init__(self, verdict: encoding.Verdict) -> None:
        super().__init__(verdict.codec)
        self.verdict = verdict


class _WriterQuotes(Exception):
    """After a quote that was taken for a character, a cell is quoted: such quotes are damage in this file."""


class _Pass:
    """One pass."""

    def __init__(
        self,
        chosen: options.Options,
        known: _Known,
        folder: pathlib.Path,
        progress: Callable[[int], None] | None,
        witness: Witness | None,
    ) -> None:
        self._witness = witness
        self._chosen = chosen
        self._known = known
        self._votes: ballot.Ballot | None = None
        self._findings = findings.Findings()
        self._nulls = nulls.of(chosen)
        self._folder = folder
        self._finder = duplicates.Finder(folder)
        self._progress = progress
        self._cutter = cutter.Cutter(chosen.chunk_size)
        self._chunks = 0
        self._shards: list[plan.Shard] = []
        self._rows = 0
        self._columns: columns.Columns | None = None

    def over(self, source: sources.Source, pinned: sources.Pinned, sidecar: pathlib.Path) -> Scan:
        """Read the source from its first byte to its last."""
        stored = streams.Hashed(source.open(pinned, 0))
        try:
            form, rows = self._reader(stored)
            self._blocks(form, rows)
            warnings = self._judge(form)
            while stored.read(reader.BLOCK_BYTES):  # padding after gzip data belongs to the checksum too
                pass
        finally:
            stored.close()
        names = header.names(rows.header)
        found = (self._columns or columns.Columns(names, self._chosen)).found()
        self._finder.write(sidecar, self._rows)
        made = plan.Plan(
            dialect=form,
            columns=names,
            types=found.types,
            rows_total=self._rows,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256.hexdigest(),
            chunk_size=self._chosen.chunk_size,
            chunks_total=self._chunks,
            duplicates_total=0,
            shards=tuple(self._shards),
            date_orders=found.date_orders,
            warnings=(*warnings, *self._findings.warnings(), *found.warnings),
        )
        pairs = firsts.settle(source, pinned, made, self._chosen, sidecar, folder=self._folder, progress=self._progress)
        if pairs and self._chosen.on_duplicate == "fail":
            raise self._duplicate_ids(sidecar, pairs)
        made = dataclasses.replace(made, duplicates_total=pairs, shards=_with_pairs(self._shards, sidecar))
        return Scan(made, dataclasses.replace(pinned, sha256=made.sha256, gzip=form.gzip), sidecar)

    def _reader(self, stored: sources.ByteStream) -> tuple[dialect.Dialect, reader.Reader]:
        stream = streams.Peeked(stored)
        packed = stream.peek(2) == gunzip.MAGIC
        if packed:
            stream = streams.Peeked(gunzip.GunzipStream(stream))
        head = stream.peek(encoding.HEAD_BYTES)
        settled = self._known.encoding
        declared = settled.codec if settled else self._chosen.encoding
        form = dialect.detect(head, gzip=packed, encoding=declared, chosen=self._chosen)
        form = dataclasses.replace(form, writer_quotes=form.writer_quotes or self._known.writer_quotes)
        if settled:
            form = dataclasses.replace(form, encoding_guessed=settled.guessed)
        elif encoding.votable(form.encoding, self._chosen.encoding, form.bom_bytes):
            self._votes = ballot.Ballot()
        self._findings.of_head(head[form.bom_bytes :], form)
        return form, reader.Reader(stream, form, votes=self._votes)

    def _judge(self, form: dialect.Dialect) -> tuple[warning.Warning, ...]:
        """Hold a guessed encoding against all lines of the file; returns what is to be said about it."""
        found = self._known.encoding or encoding.Verdict(form.encoding)
        if self._votes is not None:
            found = encoding.verdict(self._votes)
        if found.codec != form.encoding:
            raise _Contradicted(found)
        return (found.warning(),) if form.encoding_guessed else ()

    def _blocks(self, form: dialect.Dialect, rows: reader.Reader) -> None:
        found: columns.Columns | None = None
        id_position = 0
        for block in rows.blocks():
            if found is None:
                names = self._check_header(rows.header)
                id_position = names.index(self._chosen.id_column)
                found = self._columns = columns.Columns(names, self._chosen, self._known.orders)
                fitting = shape.Shape(names, form, self._chosen)
                watch = swallowed.Watch(form, self._chosen, len(names), id_position)
                if self._witness is not None:
                    self._witness.begin(names, self._chosen)
            if rows.records.bare and rows.records.quoted and not form.writer_quotes:
                raise _WriterQuotes
            watch.look_at(block)
            usable: Sequence[list[str]] = block.rows
            numbers: Sequence[int] = range(block.first_row, block.first_row + len(usable))
            if not fitting.fit(block):
                self._findings.add(block)
                usable, numbers = _readable(block, len(names))
            found.add(usable, numbers)
            if found.dated:
                usable, numbers = _only(usable, numbers, found.within_dates)
            self._add_ids([row[id_position] for row in usable], numbers)
            cuts = list(self._cutter.cut(block.sizes))
            self._note(block, cuts, fitting)
            if self._witness is not None:
                self._witness.see(block, cuts, found.so_far())
            self._rows += len(block.rows)
            if self._progress is not None:
                self._progress(self._rows)
        if found is None:
            self._check_header(rows.header)
        self._findings.of_table(form, rows.header, self._chosen)

    def _check_header(self, cells: list[str]) -> tuple[str, ...]:
        names = header.names(cells)
        self._chosen = header.check(cells, self._chosen)
        return names

    def _add_ids(self, cells: Sequence[str], numbers: Sequence[int]) -> None:
        """Take the ids of rows, less those without; a row without one is nobody's first."""
        row_ids = ids.of_cells(cells, self._nulls)
        if not all(row_ids):
            row_ids, numbers = _only(row_ids, numbers, bool)
        if row_ids:
            self._finder.add(row_ids, numbers)

    def _note(self, block: blocks.Block, cuts: Sequence[int], fitting: shape.Shape) -> None:
        """Note where the chunks begin that are cut off, and the very first."""
        for start in (*(() if self._chunks else (0,)), *cuts):
            if self._chunks % plan.SHARD_CHUNKS == 0:
                offset = block.offset + sum(block.sizes[:start])
                line, after_short = block.line_at(start), fitting.short_before(block, start)
                self._shards.append(plan.Shard(self._chunks, block.first_row + start, offset, line, after_short))
            self._chunks += 1

    def _duplicate_ids(self, sidecar: pathlib.Path, pairs: int) -> failures.FileFailure:
        with sidecar.open("rb") as file:
            examples = duplicates.read(file.read(_EXAMPLES * duplicates.PAIR_BYTES))
        said = ", ".join(f"row {row:,} has the id of row {first:,}" for row, first in examples.items())
        more = f" and {pairs - len(examples):,} more" if pairs > len(examples) else ""
        return failures.FileFailure(
            "DUPLICATE_IDS",
            f"Ids in column {self._chosen.id_column!r} are not unique: {said}{more}; repair the file, or use "
            "on_duplicate=first to skip the later rows.",
        )


def _readable(block: blocks.Block, width: int) -> tuple[list[list[str]], Sequence[int]]:
    """Return the rows that have no flaw and are as wide as the header, with their numbers."""
    kept = [i for i, row in enumerate(block.rows) if len(row) == width and i not in block.flaws]
    return [block.rows[i] for i in kept], [block.first_row + i for i in kept]


def _only(values: Sequence[T], numbers: Sequence[int], keep: Callable[[T], bool]) -> tuple[list[T], list[int]]:
    """Return the values to keep, with their numbers."""
    kept = [i for i, value in enumerate(values) if keep(value)]
    return [values[i] for i in kept], [numbers[i] for i in kept]


def _with_pairs(shards: list[plan.Shard], sidecar: pathlib.Path) -> tuple[plan.Shard, ...]:
    found = duplicates.slices(sidecar, [shard.first_row for shard in shards])
    return tuple(
        dataclasses.replace(shard, first_pair=first, pairs=count)
        for shard, (first, count) in zip(shards, found, strict=True)
    )
