"""What the scan found, and all that the split needs: a file beside the staged source.

The plan and the pinned source determine every chunk. ``SPLITTER_VERSION`` grows whenever the same plan would give
other chunks; a plan of another version fails its task by name instead of giving wrong rows.
"""

import bisect
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from services.ingest import failures, warning
from services.ingest.contract import contract
from services.ingest.planning import selection
from services.ingest.reading import dialect, header
from services.ingest.request import options

SPLITTER_VERSION = 4
SHARD_CHUNKS = 256


@dataclasses.dataclass(frozen=True)
class Shard:
    """Up to 256 chunks, and where to start reading them."""

    first_chunk: int
    # 1-based.
    first_row: int
    # Byte of the unpacked source where first_row begins (blank lines before it included).
    offset: int
    # 1-based number of the line at offset.
    line: int
    # The row before is too short.
    after_short: bool
    # Its duplicates: pairs of the sidecar.
    first_pair: int = 0
    pairs: int = 0


@dataclasses.dataclass(frozen=True)
class Plan:
    """The outcome of a scan."""

    dialect: dialect.Dialect
    # Names of the columns; an empty header cell is column_<n>, 1-based.
    columns: tuple[str, ...]
    # string, number or boolean, or what the request declares, for each column.
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
    warnings: tuple[warning.Warning, ...] = ()
    # By column: in which orders its dates may stand; of each row the first counts that it can be read in.
    date_orders: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def task_rows(self) -> int:
        """Rows of the task: of the source, or those that a retry takes."""
        return self.rows_total if self.selected is None else self.selected.rows

    @property
    def task_chunks(self) -> int:
        """Chunks of the task, numbered from 0."""
        return self.chunks_total if self.selected is None else len(self.selected.chunks)

    def row_contract(self, chosen: options.Options) -> contract.Contract:
        """Return the judge of the source's rows."""
        resolved = header.resolved(self.columns, chosen)
        return contract.Contract(self.columns, self.types, resolved, self.date_orders)

    def to_json(self) -> bytes:
        """Return the plan as UTF-8 JSON. Blocking: a retry of very many chunks takes its time."""
        fields = dataclasses.asdict(dataclasses.replace(self, selected=None))
        if self.selected is not None:  # as it is: asdict would copy each of a million things
            fields["selected"] = {"chunks": self.selected.chunks}
        return json.dumps(fields, ensure_ascii=False).encode()

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
        try:
            return cls._of(fields)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise failures.FileFailure(
                "PLAN_UNKNOWN", f"The task's plan was written by another version of ingest ({error}); submit it anew."
            ) from error

    @classmethod
    def _of(cls, fields: dict[str, Any]) -> "Plan":
        fields["dialect"] = dialect.Dialect(**fields["dialect"])
        fields["columns"], fields["types"] = tuple(fields["columns"]), tuple(fields["types"])
        fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
        fields["warnings"] = tuple(warning.Warning(**each) for each in fields["warnings"])
        fields["date_orders"] = {name: tuple(orders) for name, orders in fields["date_orders"].items()}
        if fields.get("selected") is not None:
            chunks = tuple(selection.Chosen(*each) for each in fields["selected"]["chunks"])
            fields["selected"] = selection.Selection(chunks)
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
