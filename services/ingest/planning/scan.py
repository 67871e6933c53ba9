"""One streaming pass over a pinned source: whole-file errors, and the plan by which it is split."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Sequence

from services.ingest import failures, sources
from services.ingest.contract import column_types, dates
from services.ingest.planning import cutter, duplicates, findings, plan
from services.ingest.reading import block as blocks
from services.ingest.reading import dialect, encoding, gunzip, header, reader, shape
from services.ingest.request import options
from services.ingest.sources import streams

_EXAMPLES = 5


@dataclasses.dataclass(frozen=True)
class Scan:
    """What a scan leaves behind."""

    plan: plan.Plan
    # With checksum and gzip filled in.
    pinned: sources.Pinned
    # Sidecar of duplicate rows (see duplicates.py); empty file: none.
    duplicates: pathlib.Path


def scan(
    source: sources.Source,
    pinned: sources.Pinned,
    chosen: options.Options,
    folder: pathlib.Path,
    *,
    progress: Callable[[int], None] | None = None,
) -> Scan:
    """Read the whole source once (again, when it turns out late not to be UTF-8, or that its writer quotes cells).

    Args:
        source: Where the bytes are.
        pinned: Which bytes.
        chosen: The request.
        folder: For temporary files and the sidecar; needs about 24 bytes a row.
        progress: Called with the rows read so far, about every MiB; what it raises ends the scan.

    Raises:
        failures.FileFailure: The file is not one to load; the message names the thing, the limit and the remedy.
        failures.SourceFailure: The bytes cannot be had.
        failures.SourceUnavailable: The bytes cannot be had now.
    """
    declared, writer_quotes = chosen.encoding, False
    while True:
        with tempfile.TemporaryDirectory(dir=folder) as partitions:
            run = _Pass(chosen, declared, writer_quotes, duplicates.Finder(pathlib.Path(partitions)), progress)
            try:
                return run.over(source, pinned, folder / "duplicates.bin")
            except _NotUtf8 as found:
                declared = found.encoding
            except _WriterQuotes:
                writer_quotes = True


class _NotUtf8(Exception):
    def __init__(self, encoding: str) -> None:
        super().__init__(encoding)
        self.encoding = encoding


class _WriterQuotes(Exception):
    """After a quote that was taken for a character, a cell is quoted: such quotes are damage in this file."""


class _Pass:
    """One pass."""

    def __init__(
        self,
        chosen: options.Options,
        declared: str,
        writer_quotes: bool,
        finder: duplicates.Finder,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._chosen = chosen
        self._declared = declared
        self._writer_quotes = writer_quotes
        self._findings = findings.Findings()
        self._finder = finder
        self._progress = progress
        self._cutter = cutter.Cutter(chosen.chunk_size)
        self._chunks = 0
        self._shards: list[plan.Shard] = []
        self._rows = 0
        self._dates: dates.Filter | None = None

    def over(self, source: sources.Source, pinned: sources.Pinned, sidecar: pathlib.Path) -> Scan:
        """Read the source from its first byte to its last."""
        stored = streams.Hashed(source.open(pinned, 0))
        try:
            form, rows = self._reader(stored)
            types = self._blocks(form, rows)
            while stored.read(reader.BLOCK_BYTES):  # padding after gzip data belongs to the checksum too
                pass
        finally:
            stored.close()
        names = header.names(rows.header)
        pairs = self._finder.write(sidecar, self._rows)
        if pairs and self._chosen.on_duplicate == "fail":
            raise self._duplicate_ids(sidecar, pairs)
        made = plan.Plan(
            dialect=form,
            columns=names,
            types=types,
            rows_total=self._rows,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256.hexdigest(),
            chunk_size=self._chosen.chunk_size,
            chunks_total=self._chunks,
            duplicates_total=pairs,
            shards=_with_pairs(self._shards, sidecar),
            warnings=tuple(self._findings.warnings()),
        )
        return Scan(made, dataclasses.replace(pinned, sha256=made.sha256, gzip=form.gzip), sidecar)

    def _reader(self, stored: sources.ByteStream) -> tuple[dialect.Dialect, reader.Reader]:
        stream = streams.Peeked(stored)
        packed = stream.peek(2) == gunzip.MAGIC
        if packed:
            stream = streams.Peeked(gunzip.GunzipStream(stream))
        head = stream.peek(encoding.HEAD_BYTES)
        form = dialect.detect(head, gzip=packed, encoding=self._declared, chosen=self._chosen)
        form = dataclasses.replace(form, writer_quotes=form.writer_quotes or self._writer_quotes)
        told = self._declared or form.bom_bytes or not encoding.tells_nothing(head)
        rows = reader.Reader(stream, form, undecodable=None if told else self._undecodable)
        self._reading = rows
        return form, rows

    def _undecodable(self, lines: list[bytes]) -> None:
        """Broken UTF-8, deep in a file whose beginning was good: strays in UTF-8, or another encoding after all?"""
        if not self._reading.telling_blocks and not encoding.mostly_utf8(lines):
            raise _NotUtf8(encoding.detect_legacy(b"".join(line for line in lines if not line.isascii())))

    def _blocks(self, form: dialect.Dialect, rows: reader.Reader) -> tuple[str, ...]:
        types: column_types.Types | None = None
        width = id_position = 0
        for block in rows.blocks():
            if types is None:
                id_position = self._check_header(rows.header)
                width = len(rows.header)
                types = column_types.Types(width)
                fitting = shape.Shape(header.names(rows.header), form, self._chosen)
            if rows.records.bare and rows.records.quoted and not form.writer_quotes:
                raise _WriterQuotes
            usable = block.rows
            if not fitting.fit(block):
                self._findings.add(block)
                usable = [r for i, r in enumerate(usable) if len(r) == width and i not in block.flaws]
            if len(usable) < len(block.rows) or self._dates is not None:
                self._ids(block, id_position, width)
            else:
                self._finder.add(*_filled([row[id_position] for row in usable], block.first_row))
            types.add(usable)
            self._cut(block, fitting)
            self._rows += len(block.rows)
            if self._progress is not None:
                self._progress(self._rows)
        if types is None:
            self._check_header(rows.header)
        self._findings.of_table(form, rows.header, self._chosen)
        return types.result() if types else (column_types.STRING,) * len(rows.header)

    def _check_header(self, cells: list[str]) -> int:
        names = header.names(cells)
        self._chosen = header.check(cells, self._chosen)
        self._dates = dates.of(names, self._chosen)
        return names.index(self._chosen.id_column)

    def _ids(self, block: blocks.Block, position: int, width: int) -> None:
        """Take the ids of a block in which not every row counts; a row that does not is nobody's first."""
        found = [
            (row[position], number)
            for number, row in enumerate(block.rows, start=block.first_row)
            if len(row) == width
            and number - block.first_row not in block.flaws
            and row[position].strip()
            and self._within_dates(row)
        ]
        if found:
            ids, numbers = zip(*found, strict=True)
            self._finder.add(ids, numbers)

    def _within_dates(self, row: Sequence[str]) -> bool:
        if self._dates is None:
            return True
        day = self._dates.day(row)
        return day is not None and self._dates.takes(day)

    def _cut(self, block: blocks.Block, fitting: shape.Shape) -> None:
        starts = list(self._cutter.cut(block.sizes))
        if not self._chunks:
            starts.insert(0, 0)
        for start in starts:
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


def _filled(ids: list[str], first_row: int) -> tuple[Sequence[str], Sequence[int] | range]:
    numbers = range(first_row, first_row + len(ids))
    if all(map(str.strip, ids)):
        return ids, numbers
    kept = [(value, number) for value, number in zip(ids, numbers, strict=True) if value.strip()]
    return [value for value, _ in kept], [number for _, number in kept]


def _with_pairs(shards: list[plan.Shard], sidecar: pathlib.Path) -> tuple[plan.Shard, ...]:
    found = duplicates.slices(sidecar, [shard.first_row for shard in shards])
    return tuple(
        dataclasses.replace(shard, first_pair=first, pairs=count)
        for shard, (first, count) in zip(shards, found, strict=True)
    )
