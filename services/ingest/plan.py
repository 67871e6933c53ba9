"""What the scan found, and all that the split needs: a file beside the staged source.

The plan and the pinned source determine every chunk. ``SPLITTER_VERSION`` grows whenever the same plan would give
other chunks; a plan of another version fails its task by name instead of giving wrong rows.
"""

import bisect
import dataclasses
import json
from collections.abc import Iterator, Sequence

from services.ingest import dialect, failures, selection

SPLITTER_VERSION = 1
SHARD_CHUNKS = 256
CHUNK_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True)
class Shard:
    """Up to 256 chunks, and where to start reading them."""

    first_chunk: int
    # 1-based.
    first_row: int
    # Byte of the unpacked source where first_row begins (blank lines before it included).
    offset: int
    # Its duplicates: pairs of the sidecar.
    first_pair: int = 0
    pairs: int = 0


@dataclasses.dataclass(frozen=True)
class Plan:
    """The outcome of a scan."""

    dialect: dialect.Dialect
    # Names of the columns; an empty header cell is column_<n>, 1-based.
    columns: tuple[str, ...]
    # string, number or boolean, for each column.
    types: tuple[str, ...]
    rows_total: int
    # Of the source as stored.
    size_bytes: int
    sha256: str
    # Rows a chunk at most.
    chunk_size: int
    chunks_total: int
    duplicates_total: int
    shards: tuple[Shard, ...]
    splitter_version: int = SPLITTER_VERSION
    # The rows that a retry takes; None: all.
    selected: selection.Selection | None = None

    @property
    def task_rows(self) -> int:
        """Rows of the task: of the source, or those that a retry takes."""
        return self.rows_total if self.selected is None else self.selected.rows

    @property
    def task_chunks(self) -> int:
        """Chunks of the task, numbered from 0."""
        return self.chunks_total if self.selected is None else len(self.selected.chunks)

    def to_json(self) -> bytes:
        """Return the plan as UTF-8 JSON."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Plan":
        """Read what ``to_json`` wrote.

        Raises:
            failures.FileFailure: PLAN_UNKNOWN for a plan of another splitter's version, or none at all.
        """
        try:
            fields = json.loads(data)
            version = fields["splitter_version"]
        except (ValueError, TypeError, KeyError):
            version = None
        if version != SPLITTER_VERSION:
            raise failures.FileFailure(
                "PLAN_UNKNOWN",
                f"The task's plan is of splitter version {version}, here is {SPLITTER_VERSION}; submit it anew.",
            )
        fields["dialect"] = dialect.Dialect(**fields["dialect"])
        fields["columns"], fields["types"] = tuple(fields["columns"]), tuple(fields["types"])
        fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
        if fields.get("selected") is not None:
            chunks = ((chunk, tuple(map(tuple, ranges))) for chunk, ranges in fields["selected"]["chunks"])
            fields["selected"] = selection.Selection(tuple(chunks))
        return cls(**fields)

    def shard_of_chunk(self, chunk: int) -> int:
        """Return the index of the shard that holds a chunk."""
        return chunk // SHARD_CHUNKS

    def shard_of_row(self, row: int) -> int:
        """Return the index of the shard that holds a row."""
        return max(0, bisect.bisect_right(self.shards, row, key=lambda shard: shard.first_row) - 1)

    def shard_end(self, index: int) -> tuple[int, int]:
        """Return the chunk and the row that follow a shard."""
        if index + 1 < len(self.shards):
            following = self.shards[index + 1]
            return following.first_chunk, following.first_row
        return self.chunks_total, self.rows_total + 1


class Cutter:
    """Says where chunks end: at ``chunk_size`` rows, or before the row that would take one over 4 MiB of source bytes.

    A row that is bigger makes a chunk alone. Scan and split cut with this same code.
    """

    def __init__(self, chunk_size: int) -> None:
        self._chunk_size = chunk_size
        self._rows = 0
        self._bytes = 0

    def cut(self, sizes: Sequence[int]) -> Iterator[int]:
        """Yield the positions in ``sizes`` (the source bytes of the next rows) that begin a new chunk.

        Never yields the very first row of all: it begins its chunk without a cut.
        """
        position = 0
        while position < len(sizes):
            room = self._chunk_size - self._rows
            rest = sizes[position : position + room]
            total = sum(rest)
            if self._bytes + total <= CHUNK_BYTES:
                taken = len(rest)
            else:
                taken, total = self._fitting(rest)
            self._rows += taken
            self._bytes += total
            position += taken
            if position < len(sizes):
                yield position
                self._rows = self._bytes = 0

    def _fitting(self, sizes: Sequence[int]) -> tuple[int, int]:
        total = 0
        for taken, size in enumerate(sizes):
            if self._bytes + total + size > CHUNK_BYTES and self._rows + taken:
                return taken, total
            total += size
        return len(sizes), total
