"""A position in a source's rows, moved from shard to shard: on, where reading goes on; by offset, where it can."""

from collections.abc import Iterator

from services.ingest import failures, sources
from services.ingest.planning import plan
from services.ingest.reading import block, gunzip, header, reader, shape
from services.ingest.request import options


class Cursor:
    """Reads the shards of one source, ascending; holds at most one stream."""

    def __init__(
        self, source: sources.Source, pinned: sources.Pinned, made: plan.Plan, chosen: options.Options
    ) -> None:
        self._source = source
        self._pinned = pinned
        self._plan = made
        self._shape = shape.Shape(made.columns, made.dialect, header.resolved(made.columns, chosen))
        self._stream: sources.ByteStream | None = None
        self._blocks: Iterator[block.Block] = iter(())
        # What of a block belongs to the next shard.
        self._held: block.Block | None = None
        self._row = 0

    def shard(self, index: int) -> Iterator[block.Block]:
        """Yield exactly the rows of a shard.

        Raises:
            failures.SourceFailure: SOURCE_CHANGED where the source ends too early; see sources.ByteStream.
        """
        first_row, end_row = self._plan.shards[index].first_row, self._plan.shard_end(index)[1]
        if self._row != first_row and (self._plan.dialect.seekable or not 0 < self._row < first_row):
            self._open(index)
        while self._row < end_row:
            found = self._held or next(self._blocks, None)
            if found is None:
                raise failures.SourceFailure("SOURCE_CHANGED", "The source has fewer rows than its scan; start anew.")
            if found is not self._held:
                self._shape.fit(found)
            length = len(found.rows)
            end = min(length, end_row - found.first_row)
            self._held = found.part(end, length) if end < length else None
            self._row = found.first_row + max(end, 0)
            start = max(0, first_row - found.first_row)
            if start < end:
                yield found.part(start, end)

    def close(self) -> None:
        """Close the stream."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _open(self, index: int) -> None:
        self.close()
        self._held = None
        shard, form = self._plan.shards[index], self._plan.dialect
        self._shape.after_short = shard.after_short if form.seekable else False
        offset, self._row, line = (shard.offset, shard.first_row, shard.line) if form.seekable else (0, 1, 1)
        stream = self._source.open(self._pinned, offset)
        self._stream = gunzip.GunzipStream(stream) if form.gzip else stream
        self._blocks = reader.Reader(self._stream, form, offset=offset, first_row=self._row, first_line=line).blocks()
